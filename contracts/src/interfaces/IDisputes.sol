// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { ActionRecord, BatchHeader, RecordProof, StepLeaf, TokenLeaf } from "../types/Records.sol";
import { Dispute, DisputeTerms, Distribution, Fault, State, Vote } from "../types/DisputeTypes.sol";

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
    /// @notice Fewer than five jurors, or too little juror stake.
    error JuryTooSmall(uint256 jurors, uint256 stake);
    /// @notice The caller is not on the committee.
    error NotOnCommittee(address caller);
    /// @notice The juror has committed (or revealed) already.
    error AlreadyVoted(address juror);
    /// @notice The vote is not what was committed.
    error VoteMismatch(address juror);
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
        uint256 indexed id, uint8 round, address indexed juror, int32 tokenLogprob, int32 probeLogprob
    );
    /// @notice What the committee found; `convicted` decides between {Convicted} and {Acquitted}.
    event Ruled(uint256 indexed id, uint8 round, int32 tokenMedian, int32 probeMedian, bool convicted);
    /// @notice A juror was paid `reward` or lost `penalty`.
    event JurorSettled(uint256 indexed id, address indexed juror, uint256 reward, uint256 penalty);
    event Acquitted(
        uint256 indexed id, uint256 indexed agentId, uint64 indexed nonce, uint256 toJury, uint256 toAgent
    );
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
}

/// @title What committee and watchers do.
interface IJuryRuling {
    /// @notice Draws committee and probe once the draw block is mined. Anyone may call.
    /// The randomness is the hash of the draw block or, where that is out of reach (256 blocks),
    /// of the latest block a multiple of 256 after it.
    function draw(uint256 id) external;

    /// @notice Commits a juror's vote, once a round.
    /// @param commitment keccak256(abi.encode(block.chainid, disputes, id, round, juror, tokenLogprob, probeLogprob, salt)).
    function commitVote(uint256 id, bytes32 commitment) external;

    /// @notice Reveals a juror's vote: logprobs in 1e-4 nat of the committed token and of the probe token.
    /// Open once the commit period is over or every juror has committed.
    function revealVote(uint256 id, int32 tokenLogprob, int32 probeLogprob, bytes32 salt) external;

    /// @notice Ends what can be ended: forfeits an unshown challenge, rules, redraws or voids. Anyone may call.
    function resolve(uint256 id) external;
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

    /// @notice The committee of the present round; empty before the draw.
    function committee(uint256 id) external view returns (address[] memory);

    /// @notice The probe of the present round, to be reduced modulo the base model's vocabulary.
    function probe(uint256 id) external view returns (uint32);

    /// @notice A juror's vote in a round.
    function voteOf(uint256 id, uint8 round, address juror) external view returns (Vote memory);

    /// @notice Wei taken so far for the fault(s) of an action.
    function settledOf(uint256 agentId, address operator, uint64 nonce) external view returns (uint256);

    /// @notice Number of disputes so far; ids are 1 to it.
    function disputeCount() external view returns (uint256);
}

/// @title Disputes about actions: proofs that decide at once, and a jury that replays.
interface IDisputes is
    IDisputeErrors,
    IDisputeEvents,
    IProofResolver,
    IJuryIntake,
    IJuryRuling,
    IDisputeViews
{ }
