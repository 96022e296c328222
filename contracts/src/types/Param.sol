// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice Every protocol parameter, in the order of {IParameters-all}. New ones are appended.
/// Seconds, basis points, wei or plain counts, as noted.
enum Param {
    MaxAnchorLag, // 0, seconds
    ChallengeWindow, // 1, seconds
    DemandResponse, // 2, seconds
    DemandExtension, // 3, seconds
    EvidenceReveal, // 4, seconds
    CommitPeriod, // 5, seconds
    RevealPeriod, // 6, seconds
    AppealPeriod, // 7, seconds
    WithdrawalDelay, // 8, seconds
    AuditRate, // 9, bps of actions
    OutputSlash, // 10, multiple of the fee
    Coverage, // 11, bps of self-stake
    BurnShare, // 12, bps of a slash
    ChallengerShare, // 13, bps of a slash
    ChallengerBond, // 14, bps of the slash at stake
    GrossDelta, // 15, 1e-4 nat
    KLeaves, // 16, count
    FalseConvictionRate, // 17, per 1e9
    ProtocolCut, // 18, bps of fees
    AuditShare, // 19, bps of fees
    MinSlash, // 20, wei
    MinSelfStake, // 21, wei
    MinJurorStake, // 22, wei
    JurorFee, // 23, wei per juror
    WrongVotePenalty, // 24, wei
    NonRevealPenalty, // 25, wei
    VoteTolerance, // 26, 1e-4 nat
    DrawDelay, // 27, blocks
    DelegationPeriod, // 28, seconds between activations of delegated stake
    DelegatorSlashCap, // 29, bps of delegated stake one fault may take
    MaxCommission, // 30, bps of delegators' rewards
    DemandBond, // 31, wei that pays the gas of an answer
    MaxDemands, // 32, count a batch
    LeafDelta, // 33, 1e-4 nat: what 99.9 % of honest leaves stay below
    CurationBond, // 34, wei a contribution
    CurationPeriod, // 35, seconds to decide about a contribution
    MinPayout // 36, wei below which payouts accrue
}
