// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { ActionRecord, BatchHeader, RecordProof, StepLeaf, TokenLeaf } from "./Records.sol";

/// @notice What an agent is accused of. New faults are appended.
enum Fault {
    None,
    Equivocation,
    AnchoredMismatch,
    OutputMismatch,
    /// One payment charged twice by one operator.
    DoublePayment,
    /// A payment charged and refunded.
    RefundedCharge,
    /// A record that is not what its leaf says: another agent, nonce or charge.
    Misdeclared,
    FixedSplitBroken,
    /// A ticket without a record in time.
    Omission,
    /// A model call of what the manifest does not declare.
    UndeclaredModel,
    DataWithheld,
    /// Leaves drawn across a batch that deviate more often than honest ones do.
    BatchDrift,
    /// Payouts that are not what the rule makes of the batch's records.
    WrongShares,
    /// A training run that gives another adapter than its record says.
    TrainingMismatch,
    /// No fault: a contribution whose rejection was appealed.
    CurationAppeal
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
    Forfeited,
    /// A committee has ruled; anyone may appeal until `appealBy`, then the ruling is final.
    Ruled,
    /// A batch, waiting for the block that fixes which leaves are judged.
    Seeding,
    /// The drawn leaves of a batch can be opened.
    Opening
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
    uint32 appealPeriod;
    /// Unit 1e-4 nat: what 99.9 % of honest leaves stay below.
    uint32 leafDelta;
    uint96 nonRevealPenalty;
    uint96 minSlash;
    /// Per 1e9.
    uint32 falseConvictionRate;
    uint16 kLeaves;
    /// Probability of an audit that was asked for.
    uint16 auditBps;
}

/// @notice A dispute, from commitment to outcome.
struct Dispute {
    Fault fault;
    State state;
    /// Number of the present draw: a redraw or an appeal begins the next.
    uint8 round;
    /// 0 for the first committee, then one more for each appeal: 5, 11 and 23 jurors.
    uint8 tier;
    /// Whether the present committee replaces one that did not vote.
    bool redrawn;
    uint64 nonce;
    address challenger;
    /// Whose stake answers.
    address operator;
    uint256 agentId;
    bytes32 headerHash;
    bytes32 evidenceHash;
    /// Wei held for the accusers, in equal parts for each opened leaf.
    uint128 bond;
    /// Wei of the operator's stake claimed by this dispute.
    uint128 encumbered;
    /// Wei held besides: bonds of appeals, and fees of jurors not settled yet.
    uint128 held;
    /// Last unix time to reveal the evidence.
    uint64 evidenceBy;
    /// Block whose state fixes the juror set; while Committed, the block of the commitment.
    uint64 frozenBlock;
    /// Block whose randomness decides committee and probe.
    uint64 drawBlock;
    uint64 commitBy;
    uint64 revealBy;
    /// Last unix time to appeal from the present tier's ruling.
    uint64 appealBy;
    uint8 commits;
    uint8 reveals;
    /// Drawn with the committee; jurors reduce it modulo the vocabulary of the base model.
    uint32 probe;
    bytes32 structHash;
    address client;
    uint256 fee;
}

/// @notice A leaf that a committee judges, and who accuses it.
struct OpenedLeaf {
    address accuser;
    uint16 stepIndex;
    uint32 tokenIndex;
    int32 committedLogprob;
}

/// @notice The leaves drawn across a batch.
struct BatchDraw {
    bytes32 seed;
    /// Bit i is set once position i was shown.
    uint256 shown;
    /// Positions where nothing can be replayed.
    uint16 voids;
    /// Positions that nobody showed in time: they count as deviating.
    uint16 missing;
    /// How many must deviate for a conviction.
    uint16 threshold;
}

/// @notice What stands at a drawn position of a batch. Where the record or the step makes the position void, what
/// follows is ignored.
struct LeafOpening {
    BatchHeader header;
    ActionRecord record;
    RecordProof recordProof;
    /// Whether the position is past the action's last step: `stepProof` then shows the padding.
    bool padding;
    StepLeaf step;
    bytes32[] stepProof;
    TokenLeaf leaf;
    bytes32[] tokenProof;
}

/// @notice What the committee of one tier ruled, and the appeal from it.
struct TierRuling {
    /// Round whose committee ruled.
    uint8 round;
    bool convicted;
    /// Whether its jurors were paid and punished.
    bool settled;
    /// Who appealed; zero for nobody.
    address appellant;
    /// Wei the appeal took; 0 again once it is decided.
    uint128 appealBond;
    /// Wei that this tier's jurors share when they vote well; set when the ruling is final.
    uint128 pot;
    /// Whether the committee could not get what it was to replay.
    bool unavailable;
}

/// @notice What a committee answers by a digest that each juror computes for itself, instead of by logprobs.
struct Question {
    /// The answer that acquits.
    bytes32 claimed;
    /// What the latest committee that ruled found; `claimed` where it did not agree on anything.
    bytes32 answer;
    /// The same question is not asked twice.
    bytes32 key;
}

/// @notice Where a demand stands.
enum DemandState {
    None,
    Open,
    Answered,
    /// Nobody answered in time: the operator was slashed.
    Enforced
}

/// @notice Something an operator must show in time, or loses.
struct Demand {
    Fault fault;
    DemandState state;
    /// Of the action; the largest value where there is none (omission) or the whole batch is meant.
    uint64 nonce;
    address demander;
    /// {DisputeTerms-burnBps}, fixed when it was opened; likewise the other three.
    uint16 burnBps;
    /// Whose stake answers.
    address operator;
    /// Last unix time to answer.
    uint64 answerBy;
    uint32 outputSlash;
    address client;
    uint96 minSlash;
    uint256 agentId;
    /// The batch; zero for an omission.
    bytes32 headerHash;
    /// What is to be shown: a block's digest, or the hash of the demand's details.
    bytes32 subject;
    /// What a slash is counted for.
    bytes32 faultKey;
    /// Wei held for whoever answers.
    uint96 bond;
    /// Wei of the operator's stake claimed by this demand.
    uint128 encumbered;
    uint16 challengerBps;
    /// What the slash is a multiple of; 2^128 - 1 stands for anything larger.
    uint128 fee;
    /// What the client is to get back.
    uint128 harm;
}

/// @notice A juror's vote in one round.
struct Vote {
    bytes32 commitment;
    /// Juror stake at risk.
    uint128 locked;
    int32 probeLogprob;
    bool seated;
    bool revealed;
    /// One for each opened leaf; none when what is to be replayed could not be had.
    int32[] tokenLogprobs;
    /// Where a question is asked: its answer, and what shows that the juror computed it.
    bytes32 answer;
    bytes32 probeAnswer;
}

/// @notice The median of an odd number of values is one value, of an even number any between the middle two.
struct Median {
    int32 low;
    int32 high;
}

/// @notice Where the wei of a slash went; the five parts add up to `total`.
struct Distribution {
    uint256 total;
    uint256 burned;
    uint256 toChallenger;
    uint256 toClients;
    uint256 toJury;
}
