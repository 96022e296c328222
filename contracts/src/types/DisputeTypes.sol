// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice What an agent is accused of. New faults are appended.
enum Fault {
    None,
    Equivocation,
    AnchoredMismatch,
    OutputMismatch
}

/// @notice Where a dispute stands. New states are appended.
enum State {
    None,
    /// Bond taken, evidence still hidden.
    Committed,
    /// Evidence shown, stake encumbered, waiting for the draw block.
    Open,
    /// Committee and probe known: commit, then reveal votes.
    Drawn,
    Convicted,
    Acquitted,
    /// Nothing decided; the bond went back.
    Voided,
    /// The evidence was never shown; the bond was burned.
    Forfeited
}

/// @notice The parameters a dispute runs under, fixed when it is committed.
struct DisputeTerms {
    /// Unit 1e-4 nat.
    uint32 grossDelta;
    uint32 voteTolerance;
    uint32 evidenceReveal;
    uint32 commitPeriod;
    uint32 revealPeriod;
    /// Blocks between opening and the draw block.
    uint16 drawDelay;
    uint16 burnBps;
    uint16 challengerBps;
    uint16 bondBps;
    /// Slash as a multiple of the fee.
    uint32 outputSlash;
    /// Wei per juror.
    uint96 jurorFee;
    uint96 wrongVotePenalty;
    uint96 nonRevealPenalty;
    uint96 minSlash;
}

/// @notice A dispute, from commitment to outcome.
struct Dispute {
    Fault fault;
    State state;
    /// 0 for the first committee, 1 after a redraw.
    uint8 round;
    uint64 nonce;
    address challenger;
    /// Whose stake answers.
    address operator;
    uint256 agentId;
    bytes32 headerHash;
    bytes32 evidenceHash;
    /// Wei held for the challenger.
    uint128 bond;
    /// Wei of the operator's stake claimed by this dispute.
    uint128 encumbered;
    /// Last unix time to reveal the evidence.
    uint64 evidenceBy;
    /// Block whose state fixes the juror set; while Committed, the block of the commitment.
    uint64 frozenBlock;
    /// Block whose hash decides committee and probe.
    uint64 drawBlock;
    uint64 commitBy;
    uint64 revealBy;
    uint8 commits;
    uint8 reveals;
    /// Drawn with the committee; jurors reduce it modulo the vocabulary of the base model.
    uint32 probe;
    /// The opened leaf.
    uint16 stepIndex;
    uint32 tokenIndex;
    int32 committedLogprob;
    bytes32 structHash;
    address client;
    uint256 fee;
}

/// @notice A juror's vote in one round.
struct Vote {
    bytes32 commitment;
    int32 tokenLogprob;
    int32 probeLogprob;
    bool revealed;
}

/// @notice Where the wei of a slash went; the five parts add up to `total`.
struct Distribution {
    uint256 total;
    uint256 burned;
    uint256 toChallenger;
    uint256 toClients;
    uint256 toJury;
}
