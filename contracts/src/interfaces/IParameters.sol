// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Param } from "../types/Param.sol";
import { DisputeTerms } from "../types/DisputeTypes.sol";
import { IIntakeGuard } from "./IIntakeGuard.sol";

/// @title Protocol parameters, each within bounds that nobody can move.
interface IParameters is IIntakeGuard {
    /// @notice `value` lies outside [`min`, `max`].
    error OutOfBounds(Param param, uint256 value, uint256 min, uint256 max);
    /// @notice The change would let stake leave before a dispute about it can end.
    error ExitFormulaBroken(uint256 withdrawalDelay, uint256 needed);
    /// @notice auditRate times outputSlash must be at least four fees.
    error AuditTooWeak(uint256 auditRateBps, uint256 outputSlash);
    /// @notice Burn and challenger shares exceed the slash, or leave too little for client and jury.
    error SharesBroken(uint256 burnBps, uint256 challengerBps, uint256 minSlash, uint256 jurorFee);
    /// @notice Staying silent must cost a juror at least as much as voting wrongly.
    error SilenceTooCheap(uint256 nonRevealPenalty, uint256 wrongVotePenalty);
    /// @notice A juror's stake must cover the penalties it risks.
    error JurorStakeTooSmall(uint256 minJurorStake, uint256 nonRevealPenalty);

    /// @notice `param` went from `oldValue` to `newValue`.
    event ParameterSet(Param indexed param, uint256 oldValue, uint256 newValue);

    /// @notice Sets one parameter. Owner only.
    function set(Param param, uint256 value) external;

    /// @notice The value in force.
    function get(Param param) external view returns (uint256);

    /// @notice All values, in the order of {Param}.
    function all() external view returns (uint256[] memory);

    /// @notice The immutable bounds of a parameter.
    function bounds(Param param) external pure returns (uint256 min, uint256 max);

    /// @notice A parameter's name, in lower camel case.
    function nameOf(Param param) external pure returns (string memory);

    /// @notice The least withdrawal delay the other parameters allow:
    /// lag + window + demand + extension + evidence + longest dispute,
    /// the last being three committees with one redraw each, the blocks before each draw (12 s each), and two appeals.
    function exitFormula() external view returns (uint256);

    /// @notice The parameters a new dispute runs under.
    function disputeTerms() external view returns (DisputeTerms memory);
}
