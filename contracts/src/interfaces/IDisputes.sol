// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { ActionRecord, BatchHeader, RecordProof, StepLeaf, TokenLeaf } from "../types/Records.sol";
import {
    Dispute,
    DisputeTerms,
    Distribution,
    Fault,
    OpenedLeaf,
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
    /// @notice The two records do not contradict each other.
    error NoConflict();
    /// @notice Inclusion could not be shown: "record", "step" or "token".
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
    /// @notice Another leaf of the same action, number `leaf` of the dispute, with its own accuser.
    event ChallengeJoined(
        uint256 indexed id,
        uint256 leaf,
        address indexed accuser,
        StepLeaf step,
        TokenLeaf token,
        uint256 bond
    );
    /// @notice What a committee found, a median for each leaf. Final after `appealBy`, unless somebody appeals;
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
}

/// @title Faults that a signature proves.
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
    function revealVote(uint256 id, int32[] calldata tokenLogprobs, int32 probeLogprob, bytes32 salt) external;
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

    /// @notice Number of disputes so far; ids are 1 to it.
    function disputeCount() external view returns (uint256);
}

/// @title Disputes about actions: proofs that decide at once, and juries that replay.
interface IDisputes is
    IDisputeErrors,
    IDisputeEvents,
    IProofResolver,
    IJuryIntake,
    IJuryVoting,
    IJuryRuling,
    IDisputeViews
{ }
