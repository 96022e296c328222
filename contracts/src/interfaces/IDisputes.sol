// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    ActionRecord,
    AnchoredRecord,
    BatchHeader,
    Claim,
    FixedSplit,
    Parent,
    Payment,
    RecordProof,
    StepLeaf,
    Ticket,
    TokenLeaf
} from "../types/Records.sol";
import { IBatchIntake } from "./IBatchIntake.sol";
import { IQuestionIntake } from "./IQuestionIntake.sol";
import {
    BatchDraw,
    Demand,
    DemandState,
    Dispute,
    DisputeTerms,
    Distribution,
    Fault,
    OpenedLeaf,
    Question,
    State,
    TierRuling,
    Vote
} from "../types/DisputeTypes.sol";

/// @title Errors of every resolver.
interface IDisputeErrors {
    /// @notice There is no contract at the address.
    error NoCode(address account);
    /// @notice The header is not an anchored one.
    error UnknownBatch(bytes32 headerHash);
    /// @notice The nonce is not in the batch.
    error NonceNotInBatch(uint64 nonce);
    /// @notice The record's epoch does not exist.
    error UnknownEpoch(uint256 agentId, uint32 epoch);
    /// @notice The signature is not the record key's.
    error BadSignature(uint256 agentId, uint32 epoch, address recovered);
    /// @notice The epoch's key is no longer liable.
    error ProofExpired(uint256 liableUntil);
    /// @notice Nothing shown contradicts anything else shown.
    error NoConflict();
    /// @notice Inclusion could not be shown: "record", "step", "token", "split", "payout", "model", "block" or "link".
    error BadInclusion(string what);
    /// @notice The action has been slashed to its full amount.
    error AlreadyConvicted(uint256 agentId, address operator, uint64 nonce);
    /// @notice There is no stake to slash.
    error NothingToSlash();
    /// @notice The dispute is not in the state the call needs.
    error WrongState(uint256 id, State state);
    /// @notice The deadline has passed.
    error TooLate(uint256 deadline);
    /// @notice Not before `from` (a time, or a block for the draw).
    error TooEarly(uint256 from);
    /// @notice The caller did not commit the challenge.
    error NotChallenger(address caller);
    /// @notice The evidence is not what was committed.
    error EvidenceMismatch();
    /// @notice The action or leaf cannot be replayed by this jury.
    error NotReplayable();
    /// @notice Fewer jurors than the committee needs, or too little juror stake.
    error JuryTooSmall(uint256 jurors, uint256 stake);
    /// @notice The caller is not on the committee.
    error NotOnCommittee(address caller);
    /// @notice The juror has committed (or revealed) already.
    error AlreadyVoted(address juror);
    /// @notice The vote is not what was committed.
    error VoteMismatch(address juror);
    /// @notice A dispute takes eight leaves.
    error TooManyLeaves(uint256 leaves);
    /// @notice The leaf is or was judged in dispute `id`.
    error LeafJudged(uint256 id);
    /// @notice The tier did not rule, or its jurors were settled.
    error AlreadySettled(uint256 id, uint8 tier);
    /// @notice The transaction must leave this much gas for posting the verdict.
    error GasTooLow(uint256 needed);
    /// @notice A logprob must be in [-1_000_000, 0].
    error BadLogprob(int32 logprob);
    /// @notice The same was demanded before; whoever wants it finds the answer there.
    error AlreadyDemanded(uint256 id);
    /// @notice The demand is not open.
    error DemandNotOpen(uint256 id, DemandState state);
    /// @notice This does not show what was demanded.
    error NotAnAnswer();
    /// @notice The ticket's payment was not shown: "another payment", "not signed by the client" or "not spent".
    error BadPayment(string why);
    /// @notice So many demands of the batch are open that the next bond could not be paid.
    error TooManyDemands(uint256 open);
}

/// @title Events of every resolver.
interface IDisputeEvents {
    /// @notice A proof or a jury found the operator at fault.
    /// @param id the jury dispute, 0 for a proof.
    event Convicted(
        uint256 indexed id,
        uint256 indexed agentId,
        address indexed operator,
        uint64 nonce,
        Fault fault,
        address challenger,
        Distribution distribution
    );
    event ChallengeCommitted(
        uint256 indexed id,
        uint256 indexed agentId,
        uint64 indexed nonce,
        address challenger,
        uint256 bond,
        uint64 evidenceBy
    );
    /// @notice The evidence, for jurors to replay.
    event ChallengeOpened(
        uint256 indexed id,
        uint256 indexed agentId,
        uint64 indexed nonce,
        bytes32 structHash,
        bytes32 contentDigest,
        StepLeaf step,
        TokenLeaf leaf,
        uint256 bond,
        uint256 encumbered,
        uint64 drawBlock
    );
    event Drawn(
        uint256 indexed id, uint8 round, address[] committee, uint32 probe, uint64 commitBy, uint64 revealBy
    );
    event VoteCommitted(uint256 indexed id, uint8 round, address indexed juror);
    event VoteRevealed(
        uint256 indexed id, uint8 round, address indexed juror, int32[] tokenLogprobs, int32 probeLogprob
    );
    event AnswerRevealed(
        uint256 indexed id, uint8 round, address indexed juror, bytes32 answer, bytes32 probeAnswer
    );
    /// @notice What a committee answered; {Ruled} says what that means.
    event Answered(uint256 indexed id, uint8 tier, uint8 round, bytes32 answer);
    /// @notice The ruling about a contribution is final.
    event CaseDecided(uint256 indexed id, bool accepted);
    /// @notice Another leaf of the same action, number `leaf` of the dispute, with its own accuser.
    event ChallengeJoined(
        uint256 indexed id,
        uint256 leaf,
        address indexed accuser,
        StepLeaf step,
        TokenLeaf token,
        uint256 bond
    );
    /// @notice What a committee found, a median for each leaf; none where it answered a question, or could not get what
    /// it was to replay. Final after `appealBy`, unless somebody appeals;
    /// {Convicted} or {Acquitted} say so.
    event Ruled(
        uint256 indexed id, uint8 tier, uint8 round, int32[] medians, bool convicted, uint64 appealBy
    );
    /// @notice Somebody appealed to tier `tier`.
    event Appealed(uint256 indexed id, uint8 tier, address indexed appellant, uint256 bond, uint64 drawBlock);
    /// @notice The appeal to tier `tier` is decided, and `returned` of its bond went back.
    event AppealClosed(uint256 indexed id, uint8 tier, address indexed appellant, uint256 returned);
    /// @notice After a conviction: bond and reward for a leaf that convicts, nothing for another.
    event AccuserPaid(uint256 indexed id, address indexed accuser, uint256 leaf, uint256 amount);
    /// @notice A juror was paid `reward` or lost `penalty`.
    event JurorSettled(
        uint256 indexed id, address indexed juror, uint8 round, uint256 reward, uint256 penalty
    );
    event Acquitted(
        uint256 indexed id, uint256 indexed agentId, uint64 indexed nonce, uint256 toJury, uint256 toAgent
    );
    /// @notice The ruling is final, but {IValidationRegistry} did not take it.
    event VerdictNotPosted(uint256 indexed id);
    event Redrawn(uint256 indexed id, uint8 round, uint64 drawBlock);
    event Voided(uint256 indexed id, string reason);
    event Forfeited(uint256 indexed id, uint256 burned);
    /// @notice The operator must show what is demanded until `answerBy`.
    /// @param nonce of the action, or the largest value for none (omission) or all of the batch.
    /// @param subject digest of the block to show, else the hash of the details, which an event of their own gives.
    event Demanded(
        uint256 indexed id,
        uint256 indexed agentId,
        uint64 indexed nonce,
        Fault fault,
        bytes32 headerHash,
        bytes32 subject,
        address demander,
        uint256 bond,
        uint64 answerBy
    );
    event OmissionDemanded(uint256 indexed id, Ticket ticket, Payment payment);
    /// @notice The client had signed a smaller payment with the same authorization nonce.
    event OmissionCorrected(uint256 indexed id, uint256 value);
    event ModelDemanded(
        uint256 indexed id, uint32 epoch, uint256 indexed assetId, bytes32 indexed contentDigest
    );
    /// @notice The demanded block, for everybody to read.
    event BlockShown(uint256 indexed id, bytes32 indexed digest, bytes data);
    event DemandAnswered(uint256 indexed id, address indexed answerer, uint256 bond);
    /// @notice Nobody answered; {Convicted} says where the slash went.
    event DemandEnforced(uint256 indexed id);
}

/// @title Faults that signatures and anchored batches prove.
interface IProofResolver {
    /// @notice Slashes an operator that signed two different records with one nonce.
    /// @param sigA 65-byte signature (r, s, v) of record A's epoch key; likewise B.
    function proveEquivocation(
        ActionRecord calldata recordA,
        bytes calldata sigA,
        ActionRecord calldata recordB,
        bytes calldata sigB
    ) external returns (Distribution memory);

    /// @notice Slashes an operator that anchored another record than it signed.
    /// @param anchoredStructHash the record hash at the signed record's nonce in the batch, with its proof.
    function proveAnchoredMismatch(
        BatchHeader calldata header,
        ActionRecord calldata signedRecord,
        bytes calldata sig,
        bytes32 anchoredStructHash,
        RecordProof calldata proof
    ) external returns (Distribution memory);

    /// @notice Slashes an operator whose two records charge the same payment; `second` is the one with the later nonce.
    function proveDoublePayment(AnchoredRecord calldata first, AnchoredRecord calldata second)
        external
        returns (Distribution memory);

    /// @notice Slashes an operator that charges more of a payment than it left itself when refunding it, before or after.
    function proveRefundedCharge(AnchoredRecord calldata shown) external returns (Distribution memory);

    /// @notice Slashes an operator that anchored a record as what it is not: its leaf charges something else than the
    /// record says, or stands for another agent or nonce.
    function proveMisdeclared(AnchoredRecord calldata shown) external returns (Distribution memory);

    /// @notice Slashes an operator whose batch pays a fixed share to somebody else, or too little of it. A wei a record
    /// is forgiven.
    /// @param position where in the manifest of the batch's epoch the share stands, with its siblings in `path`.
    /// @param payout what the batch pays at the share's index, with its proof; ignored when it pays nothing there.
    function proveFixedSplit(
        BatchHeader calldata header,
        FixedSplit calldata split,
        uint32 position,
        bytes32[] calldata path,
        Claim calldata payout
    ) external returns (Distribution memory);
}

/// @title What an operator must show in time, or loses.
/// @notice A demand takes a bond, which goes to whoever answers, and claims the stake it would slash. What nobody
/// answers within demandResponse is slashed by {enforce}, and the bond goes back. An answer extends the window for
/// jury challenges of the action (or the batch) to demandExtension from now.
/// Demands about a batch are taken inside its challenge window. The same thing is demanded once.
interface IDemandResolver {
    /// @notice Demands the record promised by a ticket whose `anchorBy` has passed.
    /// @param sig 65-byte signature of the ticket's epoch key.
    /// @param payment the client's EIP-3009 authorization that paid for the ticket.
    function demandOmission(Ticket calldata ticket, bytes calldata sig, Payment calldata payment)
        external
        returns (uint256 id);

    /// @notice Demands that what a model call used is declared in the manifest of the record's epoch.
    function demandModel(AnchoredRecord calldata shown, StepLeaf calldata step, bytes32[] calldata stepProof)
        external
        returns (uint256 id);

    /// @notice Demands a batch's block, or one below it.
    /// @param path blocks from the anchored one down, each with the offset of the link to the next; the last leads to
    /// what is demanded. Empty for the anchored block itself.
    function demandBatchData(BatchHeader calldata header, Parent[] calldata path)
        external
        returns (uint256 id);

    /// @notice Demands the manifest of a batch's epoch, or a block below it.
    function demandManifest(BatchHeader calldata header, Parent[] calldata path) external returns (uint256 id);

    /// @notice Demands a record's content, or a block below it.
    function demandRecordData(AnchoredRecord calldata shown, Parent[] calldata path)
        external
        returns (uint256 id);

    /// @notice Demands a step's block, or one below it.
    function demandStepData(
        AnchoredRecord calldata shown,
        StepLeaf calldata step,
        bytes32[] calldata stepProof,
        Parent[] calldata path
    ) external returns (uint256 id);

    /// @notice Answers an omission: the record, in a batch that was anchored in time, and what it does not charge of the
    /// payment back with the client. Anyone may answer anything.
    function answerWithRecord(uint256 id, Ticket calldata ticket, AnchoredRecord calldata shown) external;

    /// @notice Answers an omission: the payment was refunded to its client, at least in the value of this
    /// authorization of it, which may be another one than the demander showed.
    function answerWithRefund(uint256 id, Ticket calldata ticket, Payment calldata payment) external;

    /// @notice Lowers what an omission is slashed by to a smaller authorization with the same nonce.
    function correctOmission(uint256 id, Ticket calldata ticket, Payment calldata payment) external;

    /// @notice Answers a model demand: the asset version under the epoch's manifest root; it must be a registered model
    /// or adapter.
    function answerWithModel(
        uint256 id,
        uint32 epoch,
        uint256 assetId,
        bytes32 contentDigest,
        uint32 position,
        bytes32[] calldata path
    ) external;

    /// @notice Answers a data demand: the block, at most 4 KiB.
    function answerWithBlock(uint256 id, bytes calldata data) external;

    /// @notice Slashes an operator for a demand that was not answered in time. Anyone may call.
    function enforce(uint256 id) external returns (Distribution memory);
}

/// @title Challenging a token before a jury.
interface IJuryIntake {
    /// @notice Commits to a challenge of one token, inside the challenge window; takes the jury's cost as bond.
    /// @param evidenceHash keccak256(abi.encode(challenger, salt, structHash, stepIndex, tokenIndex)).
    function commitChallenge(BatchHeader calldata header, uint64 nonce, bytes32 evidenceHash)
        external
        returns (uint256 id);

    /// @notice Shows the evidence, in a later block than the commitment; tops the bond up to its share of the slash at stake and fixes the draw block.
    /// Ends as Voided, bond returned, when the leaf is being or was judged, the action was slashed in full,
    /// the operator has too little stake, or the jury is too small.
    function revealChallenge(
        uint256 id,
        BatchHeader calldata header,
        ActionRecord calldata record,
        RecordProof calldata recordProof,
        StepLeaf calldata step,
        bytes32[] calldata stepProof,
        TokenLeaf calldata tokenLeaf,
        bytes32[] calldata tokenProof,
        bytes32 salt
    ) external;

    /// @notice Accuses another leaf of the disputed action, until the draw block of the first committee is mined;
    /// takes as much bond as the first leaf's. The committee judges every leaf: the action is convicted when one of
    /// them is grossly off. Then who opened the dispute has half of the reward, if its leaf is off, and all
    /// leaves that are off share the rest; the bonds of the others are lost.
    function joinChallenge(
        uint256 id,
        ActionRecord calldata record,
        StepLeaf calldata step,
        bytes32[] calldata stepProof,
        TokenLeaf calldata tokenLeaf,
        bytes32[] calldata tokenProof
    ) external;
}

/// @title What a committee does.
interface IJuryVoting {
    /// @notice Draws committee and probe once the draw block is mined. Anyone may call.
    /// The randomness is {IRandomness-at} of the draw block.
    function draw(uint256 id) external;

    /// @notice Commits a juror's vote, once a round.
    /// @param commitment keccak256(abi.encode(block.chainid, disputes, id, round, juror, tokenLogprobs, probeLogprob, salt)).
    function commitVote(uint256 id, bytes32 commitment) external;

    /// @notice Reveals a juror's vote: logprobs in 1e-4 nat of the committed token of each leaf, and of the probe
    /// token in the first leaf's place. Open once the commit period is over or every juror has committed.
    /// No logprobs say that what is to be replayed (step, adapter or base) cannot be had; when more than half of those who
    /// revealed say so, the operator is convicted.
    function revealVote(uint256 id, int32[] calldata tokenLogprobs, int32 probeLogprob, bytes32 salt) external;

    /// @notice Reveals a juror's answer to a question ({IQuestionIntake}), likewise.
    /// Its commitment is keccak256(abi.encode(block.chainid, disputes, id, round, juror, answer, probeAnswer, salt)).
    function revealAnswer(uint256 id, bytes32 answer, bytes32 probeAnswer, bytes32 salt) external;
}

/// @title From votes to the outcome.
interface IJuryRuling {
    /// @notice Ends what can be ended: forfeits an unshown challenge, rules, redraws, makes a ruling final that nobody
    /// appealed from, or voids. Anyone may call. A ruling of the first committee settles its jurors too.
    function resolve(uint256 id) external;

    /// @notice Asks for a larger committee while a ruling can be appealed from: 5, 11, 23. Anyone may.
    /// Takes {IDisputeViews-appealBond}: it goes back when the outcome differs from the ruling, and else pays the
    /// larger committee and the other side.
    function appeal(uint256 id) external;

    /// @notice Pays and punishes the jurors of one tier by the final ruling, once. Anyone may call.
    function settle(uint256 id, uint8 tier) external;
}

/// @title What is known of disputes.
interface IDisputeViews {
    /// @notice A dispute; its state is None when unknown.
    function dispute(uint256 id) external view returns (Dispute memory);

    /// @notice Bond of a challenge under the present parameters: what committing takes,
    /// and the total after revealing a record with this fee, if stake and jury cover the whole slash.
    function bondFor(uint256 fee) external view returns (uint256 atCommit, uint256 total);

    /// @notice The parameters a dispute runs under.
    function termsOf(uint256 id) external view returns (DisputeTerms memory);

    /// @notice What an appeal from the present ruling takes, in wei; 0 when there is none to appeal from.
    function appealBond(uint256 id) external view returns (uint256);

    /// @notice The leaves the committees judge; empty before the evidence is shown.
    function leavesOf(uint256 id) external view returns (OpenedLeaf[] memory);

    /// @notice What the committee of a tier (0 to 2) ruled.
    function rulingOf(uint256 id, uint8 tier) external view returns (TierRuling memory);

    /// @notice The committee of the present round; empty before the draw.
    function committee(uint256 id) external view returns (address[] memory);

    /// @notice The committee of an earlier round.
    function committeeAt(uint256 id, uint8 round) external view returns (address[] memory);

    /// @notice The probe of the present round, to be reduced modulo the base model's vocabulary.
    function probe(uint256 id) external view returns (uint32);

    /// @notice A juror's vote in a round.
    function voteOf(uint256 id, uint8 round, address juror) external view returns (Vote memory);

    /// @notice Wei taken so far for the fault(s) of an action.
    function settledOf(uint256 agentId, address operator, uint64 nonce) external view returns (uint256);

    /// @notice The drawn positions of a batch dispute.
    function leavesDrawn(uint256 id) external view returns (BatchDraw memory);

    /// @notice What is asked in a dispute that is answered by digests, and what was answered.
    function questionOf(uint256 id) external view returns (Question memory);

    /// @notice The dispute that judges or judged the batch; 0 for none.
    function judgedIn(bytes32 headerHash) external view returns (uint256 id);

    /// @notice Wei held for random audits, besides what {IRewardPool-creditOf} holds.
    function auditFund() external view returns (uint256);

    /// @notice Number of disputes so far; ids are 1 to it.
    function disputeCount() external view returns (uint256);

    /// @notice A demand; its state is None when unknown.
    function demand(uint256 id) external view returns (Demand memory);

    /// @notice Number of demands so far; ids are 1 to it.
    function demandCount() external view returns (uint256);

    /// @notice Bond of the next demand about a batch (zero hash: of an omission): demandBond, doubled for every
    /// maxDemands of the batch that are open. A hard limit would let an operator fill it with demands of its own.
    function demandBondFor(bytes32 headerHash) external view returns (uint256);

    /// @notice Last unix time at which a challenge of the action may be committed, answers to demands considered.
    function challengeableUntil(BatchHeader calldata header, uint64 nonce) external view returns (uint256);
}

/// @title Disputes about actions: proofs that decide at once, demands that want an answer, and juries that replay.
interface IDisputes is
    IDisputeErrors,
    IDisputeEvents,
    IProofResolver,
    IDemandResolver,
    IJuryIntake,
    IJuryVoting,
    IJuryRuling,
    IBatchIntake,
    IQuestionIntake,
    IDisputeViews
{ }
