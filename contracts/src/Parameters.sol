// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";
import { IntakeGuard } from "./IntakeGuard.sol";
import { IParameters } from "./interfaces/IParameters.sol";
import { DisputeTerms } from "./types/DisputeTypes.sol";
import { Param } from "./types/Param.sol";

/// @title Implements {IParameters}.
contract Parameters is IParameters, IntakeGuard {
    uint256 private constant COUNT = uint256(type(Param).max) + 1;
    uint256 private constant BPS = 10_000;
    /// @dev Smallest committee; appeals enlarge it at the appellant's cost.
    uint256 private constant COMMITTEE = 5;

    /// @dev Seconds a block takes, for the delays before draws.
    uint256 private constant BLOCK_TIME = 12;

    mapping(Param => uint256) private _values;

    /// @param owner who may change parameters: a timelock, once there is one.
    constructor(address owner) Ownable(owner) {
        for (uint256 i; i < COUNT; ++i) {
            (,, uint256 value,) = _spec(Param(i));
            _values[Param(i)] = value;
            emit ParameterSet(Param(i), 0, value);
        }
        _check();
    }

    /// @inheritdoc IParameters
    function set(Param param, uint256 value) external onlyOwner {
        (uint256 min, uint256 max,,) = _spec(param);
        require(value >= min && value <= max, OutOfBounds(param, value, min, max));
        emit ParameterSet(param, _values[param], value);
        _values[param] = value;
        _check();
    }

    /// @inheritdoc IParameters
    function all() external view returns (uint256[] memory values) {
        values = new uint256[](COUNT);
        for (uint256 i; i < COUNT; ++i) {
            values[i] = _values[Param(i)];
        }
    }

    /// @inheritdoc IParameters
    function disputeTerms() external view returns (DisputeTerms memory) {
        // every cast is safe: the bounds are far below the types' limits
        return DisputeTerms({
            grossDelta: uint32(get(Param.GrossDelta)),
            voteTolerance: uint32(get(Param.VoteTolerance)),
            evidenceReveal: uint32(get(Param.EvidenceReveal)),
            commitPeriod: uint32(get(Param.CommitPeriod)),
            revealPeriod: uint32(get(Param.RevealPeriod)),
            drawDelay: uint16(get(Param.DrawDelay)),
            burnBps: uint16(get(Param.BurnShare)),
            challengerBps: uint16(get(Param.ChallengerShare)),
            bondBps: uint16(get(Param.ChallengerBond)),
            outputSlash: uint32(get(Param.OutputSlash)),
            jurorFee: uint96(get(Param.JurorFee)),
            wrongVotePenalty: uint96(get(Param.WrongVotePenalty)),
            nonRevealPenalty: uint96(get(Param.NonRevealPenalty)),
            minSlash: uint96(get(Param.MinSlash)),
            appealPeriod: uint32(get(Param.AppealPeriod)),
            leafDelta: uint32(get(Param.LeafDelta)),
            falseConvictionRate: uint32(get(Param.FalseConvictionRate)),
            kLeaves: uint16(get(Param.KLeaves)),
            auditBps: uint16(get(Param.AuditRate))
        });
    }

    /// @inheritdoc IParameters
    function bounds(Param param) external pure returns (uint256 min, uint256 max) {
        (min, max,,) = _spec(param);
    }

    /// @inheritdoc IParameters
    function nameOf(Param param) external pure returns (string memory name) {
        (,,, name) = _spec(param);
    }

    /// @inheritdoc IParameters
    function get(Param param) public view returns (uint256) {
        return _values[param];
    }

    /// @inheritdoc IParameters
    function exitFormula() public view returns (uint256) {
        uint256 round = get(Param.CommitPeriod) + get(Param.RevealPeriod) + get(Param.DrawDelay) * BLOCK_TIME;
        uint256 longestDispute = 6 * round + 2 * get(Param.AppealPeriod);
        return get(Param.MaxAnchorLag) + get(Param.ChallengeWindow) + get(Param.DemandResponse)
            + get(Param.DemandExtension) + get(Param.EvidenceReveal) + longestDispute;
    }

    /// @dev What no combination of parameters may break.
    function _check() private view {
        uint256 delay = get(Param.WithdrawalDelay);
        require(delay >= exitFormula(), ExitFormulaBroken(delay, exitFormula()));

        // p * slash must be at least four times the fee, half of it burned: the expected loss is twice the gain
        uint256 rate = get(Param.AuditRate);
        uint256 multiple = get(Param.OutputSlash);
        require(rate * multiple >= 4 * BPS, AuditTooWeak(rate, multiple));

        // what burn and challenger leave of the smallest slash refunds the largest fee it stands for and pays the jury
        uint256 burn = get(Param.BurnShare);
        uint256 challenger = get(Param.ChallengerShare);
        uint256 minSlash = get(Param.MinSlash);
        uint256 fee = get(Param.JurorFee);
        require(
            burn + challenger <= BPS
                && minSlash * (BPS - burn - challenger) >= BPS * (COMMITTEE * fee + minSlash / multiple),
            SharesBroken(burn, challenger, minSlash, fee)
        );

        uint256 silence = get(Param.NonRevealPenalty);
        require(silence >= get(Param.WrongVotePenalty), SilenceTooCheap(silence, get(Param.WrongVotePenalty)));
        require(get(Param.MinJurorStake) >= silence, JurorStakeTooSmall(get(Param.MinJurorStake), silence));
    }

    /// @dev min, max, default and name: the whole table in one place, so that bounds cannot change.
    function _spec(Param p) private pure returns (uint256, uint256, uint256, string memory) {
        if (p == Param.MaxAnchorLag) return (5 minutes, 6 hours, 1 hours, "maxAnchorLag");
        if (p == Param.ChallengeWindow) return (1 days, 7 days, 3 days, "challengeWindow");
        if (p == Param.DemandResponse) return (6 hours, 24 hours, 12 hours, "demandResponse");
        if (p == Param.DemandExtension) return (12 hours, 72 hours, 24 hours, "demandExtension");
        if (p == Param.EvidenceReveal) return (1 hours, 12 hours, 6 hours, "evidenceReveal");
        if (p == Param.CommitPeriod) return (6 hours, 48 hours, 12 hours, "commitPeriod");
        if (p == Param.RevealPeriod) return (6 hours, 48 hours, 12 hours, "revealPeriod");
        if (p == Param.AppealPeriod) return (6 hours, 48 hours, 24 hours, "appealPeriod");
        if (p == Param.WithdrawalDelay) return (7 days, 90 days, 14 days, "withdrawalDelay");
        if (p == Param.AuditRate) return (200, 10_000, 500, "auditRate");
        if (p == Param.OutputSlash) return (4, 10_000, 80, "outputSlash");
        if (p == Param.Coverage) return (1, 2500, 2500, "coverage");
        if (p == Param.BurnShare) return (5000, 10_000, 5000, "burnShare");
        if (p == Param.ChallengerShare) return (0, 3000, 3000, "challengerShare");
        if (p == Param.ChallengerBond) return (100, 5000, 1000, "challengerBond");
        if (p == Param.GrossDelta) return (100, 5000, 2500, "grossDelta");
        if (p == Param.KLeaves) return (32, 256, 64, "kLeaves");
        if (p == Param.FalseConvictionRate) return (1, 10_000, 1000, "falseConvictionRate");
        if (p == Param.ProtocolCut) return (100, 2000, 500, "protocolCut");
        if (p == Param.AuditShare) return (100, 1000, 200, "auditShare");
        if (p == Param.MinSlash) return (0.01 ether, 10_000 ether, 1 ether, "minSlash");
        if (p == Param.MinSelfStake) return (0.01 ether, 1_000_000 ether, 10 ether, "minSelfStake");
        if (p == Param.MinJurorStake) return (1 ether, 1_000_000 ether, 100 ether, "minJurorStake");
        if (p == Param.JurorFee) return (0.0001 ether, 100 ether, 0.02 ether, "jurorFee");
        if (p == Param.WrongVotePenalty) return (0.01 ether, 1000 ether, 1 ether, "wrongVotePenalty");
        if (p == Param.NonRevealPenalty) return (0.01 ether, 1000 ether, 2 ether, "nonRevealPenalty");
        if (p == Param.VoteTolerance) return (100, 10_000, 2500, "voteTolerance");
        if (p == Param.DrawDelay) return (2, 128, 4, "drawDelay");
        if (p == Param.DelegationPeriod) return (1 hours, 7 days, 1 days, "delegationPeriod");
        if (p == Param.DelegatorSlashCap) return (0, 5000, 3000, "delegatorSlashCap");
        if (p == Param.MaxCommission) return (0, 9000, 5000, "maxCommission");
        if (p == Param.DemandBond) return (0.001 ether, 10 ether, 0.05 ether, "demandBond");
        if (p == Param.MaxDemands) return (4, 1024, 16, "maxDemands");
        if (p == Param.LeafDelta) return (10, 2500, 200, "leafDelta");
        if (p == Param.CurationBond) return (0.0001 ether, 100 ether, 0.1 ether, "curationBond");
        if (p == Param.CurationPeriod) return (1 days, 14 days, 3 days, "curationPeriod");
        return (0.0001 ether, 10 ether, 0.01 ether, "minPayout");
    }
}
