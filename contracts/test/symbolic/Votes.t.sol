// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Context, DisputeBase } from "src/disputes/DisputeBase.sol";
import { JuryVoting } from "src/disputes/JuryVoting.sol";
import { IRandomness } from "src/interfaces/IRandomness.sol";
import { Dispute, OpenedLeaf, State } from "src/types/DisputeTypes.sol";

interface Cheats {
    function prank(address sender) external;
    function chainId(uint256 id) external;
}

Cheats constant CHEATS = Cheats(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);

/// @notice Who reveals what, where.
struct Reveal {
    uint256 id;
    uint8 round;
    address juror;
    int32 first;
    int32 second;
    int32 probe;
    bytes32 salt;
}

/// @title JuryVoting with a committee seated by hand.
contract Ballots is JuryVoting {
    error Revealed();

    constructor(Context memory context) DisputeBase(context) JuryVoting(IRandomness(address(0))) { }

    /// @dev Reverts with `Revealed` if a juror with this commitment may reveal that, so that no try sees another.
    function attempt(bytes32 commitment, Reveal calldata vote, uint256 leaves) external {
        Dispute storage d = _disputes[vote.id];
        d.state = State.Drawn;
        d.round = vote.round;
        d.commits = uint8(COMMITTEE);
        d.revealBy = type(uint64).max;
        OpenedLeaf[] storage opened = _opened[vote.id];
        assembly ("memory-safe") {
            sstore(opened.slot, leaves)
        }
        _votes[vote.id][vote.round][vote.juror].commitment = commitment;
        int32[] memory logprobs = new int32[](leaves);
        logprobs[0] = vote.first;
        if (leaves == 2) logprobs[1] = vote.second;
        CHEATS.prank(vote.juror);
        this.revealVote(vote.id, logprobs, vote.probe, vote.salt);
        revert Revealed();
    }
}

/// @dev Proved by Halmos (scripts/halmos), where keccak256 has no collisions, on the code that reveals votes: for
/// disputes about one leaf and about two.
contract VotesSymbolic {
    Ballots private _here;
    Ballots private _elsewhere;

    function setUp() public {
        Context memory nothing;
        _here = new Ballots(nothing);
        _elsewhere = new Ballots(nothing);
    }

    /// @notice Whatever was committed, it reveals as one vote of one juror in one round of one dispute.
    function check_aCommitmentRevealsAsOneVote(bytes32 commitment, Reveal calldata a, Reveal calldata b)
        public
    {
        if (!_reveals(_here, commitment, a, 1) || !_reveals(_here, commitment, b, 1)) return;
        assert(a.id == b.id && a.round == b.round && a.juror == b.juror);
        assert(a.first == b.first && a.probe == b.probe && a.salt == b.salt);
    }

    /// @notice The same for two leaves, in their order.
    function check_aCommitmentRevealsAsOneVoteOnTwoLeaves(
        bytes32 commitment,
        Reveal calldata a,
        Reveal calldata b
    ) public {
        if (!_reveals(_here, commitment, a, 2) || !_reveals(_here, commitment, b, 2)) {
            return;
        }
        assert(a.id == b.id && a.round == b.round && a.juror == b.juror);
        assert(a.first == b.first && a.second == b.second && a.probe == b.probe && a.salt == b.salt);
    }

    /// @notice A vote on one leaf is none on two.
    function check_aCommitmentIsForOneNumberOfLeaves(bytes32 commitment, Reveal calldata a, Reveal calldata b)
        public
    {
        if (!_reveals(_here, commitment, a, 1)) return;
        assert(!_reveals(_here, commitment, b, 2));
    }

    /// @notice What is committed here reveals in no other contract.
    function check_aCommitmentIsForOneContract(bytes32 commitment, Reveal calldata a, Reveal calldata b)
        public
    {
        if (!_reveals(_here, commitment, a, 1)) return;
        assert(!_reveals(_elsewhere, commitment, b, 1));
    }

    /// @notice Nor on another chain.
    function check_aCommitmentIsForOneChain(
        bytes32 commitment,
        Reveal calldata a,
        Reveal calldata b,
        uint64 chain
    ) public {
        if (chain == block.chainid || !_reveals(_here, commitment, a, 1)) return;
        CHEATS.chainId(chain);
        assert(!_reveals(_here, commitment, b, 1));
    }

    /// @notice Not vacuous: the commitment of docs/contracts.md reveals.
    function check_theDocumentedCommitmentReveals(Reveal calldata vote) public {
        if (vote.first > 0 || vote.first < -1_000_000 || vote.probe > 0 || vote.probe < -1_000_000) return;
        int32[] memory logprobs = new int32[](1);
        logprobs[0] = vote.first;
        bytes32 commitment = keccak256(
            abi.encode(
                block.chainid,
                address(_here),
                vote.id,
                vote.round,
                vote.juror,
                logprobs,
                vote.probe,
                vote.salt
            )
        );
        assert(_reveals(_here, commitment, vote, 1));
    }

    function _reveals(Ballots ballots, bytes32 commitment, Reveal calldata vote, uint256 leaves)
        private
        returns (bool)
    {
        try ballots.attempt(commitment, vote, leaves) {
            return true;
        } catch (bytes memory reason) {
            return bytes4(reason) == Ballots.Revealed.selector;
        }
    }
}
