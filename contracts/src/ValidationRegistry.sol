// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IAgentRegistry } from "./interfaces/IAgentRegistry.sol";
import { IValidationRegistry } from "./interfaces/IValidationRegistry.sol";

/// @title Implements {IValidationRegistry}.
contract ValidationRegistry is IValidationRegistry {
    using SafeCast for uint256;

    struct Validation {
        address validator;
        uint40 agentId;
        uint40 lastUpdate;
        uint8 response;
        bool answered;
        bytes32 requestHash;
        bytes32 responseHash;
        string tag;
    }

    uint8 private constant MAX_RESPONSE = 100;
    /// @dev In place of a key: several requests share the hash. No request has this key.
    bytes32 private constant SHARED = bytes32(uint256(1));

    /// @notice Whose owners and operators may ask.
    IAgentRegistry public immutable agents;
    /// @notice Who posts verdicts.
    address public immutable disputes;

    mapping(bytes32 key => Validation) private _validations;
    /// @dev The one request with this bare hash, or SHARED.
    mapping(bytes32 requestHash => bytes32 key) private _only;
    /// @dev The one request to this validator with this hash, or SHARED. Kept only for hashes that are SHARED.
    mapping(address validator => mapping(bytes32 requestHash => bytes32 key)) private _onlyTo;
    mapping(uint256 agentId => bytes32[] keys) private _ofAgent;
    mapping(address validator => bytes32[] keys) private _ofValidator;

    constructor(IAgentRegistry agents_, address disputes_) {
        agents = agents_;
        disputes = disputes_;
    }

    /// @inheritdoc IValidationRegistry
    function validationRequest(
        address validatorAddress,
        uint256 agentId,
        string calldata requestURI,
        bytes32 requestHash
    ) external {
        require(validatorAddress != address(0), ZeroValidator());
        require(validatorAddress != disputes, VerdictsOnly());
        require(agents.isAuthorizedOrOwner(msg.sender, agentId), NotAuthorized(agentId, msg.sender));
        bytes32 key = keyOf(validatorAddress, agentId, requestHash);
        require(_validations[key].validator == address(0), RequestExists(key));
        _open(key, validatorAddress, agentId, requestURI, requestHash);
    }

    /// @inheritdoc IValidationRegistry
    function validationResponse(
        bytes32 requestHash,
        uint8 response,
        string calldata responseURI,
        bytes32 responseHash,
        string calldata tag
    ) external {
        bytes32 key = _only[requestHash];
        // a hash that others share still means one request to a validator whom one agent asked
        if (key == SHARED) key = _onlyTo[msg.sender][requestHash];
        key = _resolved(requestHash, key);
        require(_validations[key].validator == msg.sender, NotValidator(requestHash, msg.sender));
        _answer(key, response, responseURI, responseHash, tag);
    }

    /// @inheritdoc IValidationRegistry
    /// @dev Nothing an accused controls is called or asked: it must not be able to stop its verdict.
    function postVerdict(
        uint256 agentId,
        bytes32 requestHash,
        uint8 response,
        string calldata responseURI,
        bytes32 responseHash,
        string calldata tag
    ) external {
        require(msg.sender == disputes, OnlyDisputes(msg.sender));
        bytes32 key = keyOf(disputes, agentId, requestHash);
        if (_validations[key].validator == address(0)) _open(key, disputes, agentId, "", requestHash);
        _answer(key, response, responseURI, responseHash, tag);
    }

    /// @inheritdoc IValidationRegistry
    function getIdentityRegistry() external view returns (address) {
        return address(agents);
    }

    /// @inheritdoc IValidationRegistry
    function getValidationStatus(bytes32 requestHash)
        external
        view
        returns (
            address validatorAddress,
            uint256 agentId,
            uint8 response,
            bytes32 responseHash,
            string memory tag,
            uint256 lastUpdate
        )
    {
        Validation storage v = _validations[_resolved(requestHash, _only[requestHash])];
        return (v.validator, v.agentId, v.response, v.responseHash, v.tag, v.lastUpdate);
    }

    /// @inheritdoc IValidationRegistry
    function getValidation(address validatorAddress, uint256 agentId, bytes32 requestHash)
        external
        view
        returns (bool answered, uint8 response, bytes32 responseHash, string memory tag, uint256 lastUpdate)
    {
        Validation storage v = _validations[keyOf(validatorAddress, agentId, requestHash)];
        return (v.answered, v.response, v.responseHash, v.tag, v.lastUpdate);
    }

    /// @inheritdoc IValidationRegistry
    function getSummary(uint256 agentId, address[] calldata validatorAddresses, string calldata tag)
        external
        view
        returns (uint64 count, uint8 averageResponse)
    {
        bytes32[] storage keys = _ofAgent[agentId];
        bytes32 wanted = keccak256(bytes(tag));
        uint256 sum;
        for (uint256 i; i < keys.length; ++i) {
            Validation storage v = _validations[keys[i]];
            if (!v.answered || !_among(v.validator, validatorAddresses)) continue;
            if (bytes(tag).length != 0 && keccak256(bytes(v.tag)) != wanted) continue;
            sum += v.response;
            ++count;
        }
        if (count != 0) averageResponse = uint8(sum / count);
    }

    /// @inheritdoc IValidationRegistry
    function getAgentValidations(uint256 agentId) external view returns (bytes32[] memory) {
        return _named(_ofAgent[agentId]);
    }

    /// @inheritdoc IValidationRegistry
    function getValidatorRequests(address validatorAddress) external view returns (bytes32[] memory) {
        return _named(_ofValidator[validatorAddress]);
    }

    /// @inheritdoc IValidationRegistry
    function keyOf(address validatorAddress, uint256 agentId, bytes32 requestHash)
        public
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(validatorAddress, agentId, requestHash));
    }

    function _open(
        bytes32 key,
        address validator,
        uint256 agentId,
        string memory requestURI,
        bytes32 requestHash
    ) private {
        Validation storage v = _validations[key];
        v.validator = validator;
        v.agentId = agentId.toUint40();
        v.lastUpdate = uint40(block.timestamp);
        v.requestHash = requestHash;
        _ofAgent[agentId].push(key);
        _ofValidator[validator].push(key);
        bytes32 other = _only[requestHash];
        if (other == 0) {
            _only[requestHash] = key;
        } else {
            if (other != SHARED) {
                _only[requestHash] = SHARED;
                _onlyTo[_validations[other].validator][requestHash] = other;
            }
            _onlyTo[validator][requestHash] = _onlyTo[validator][requestHash] == 0 ? key : SHARED;
        }
        emit ValidationRequest(validator, agentId, requestURI, requestHash);
    }

    function _answer(
        bytes32 key,
        uint8 response,
        string calldata responseURI,
        bytes32 responseHash,
        string calldata tag
    ) private {
        require(response <= MAX_RESPONSE, BadResponse(response));
        Validation storage v = _validations[key];
        v.response = response;
        v.answered = true;
        v.lastUpdate = uint40(block.timestamp);
        v.responseHash = responseHash;
        v.tag = tag;
        emit ValidationResponse(
            v.validator, v.agentId, v.requestHash, response, responseURI, responseHash, tag
        );
    }

    /// @dev What `given` means: a key if it is one, else the request that it is the bare hash of.
    function _resolved(bytes32 given, bytes32 only) private view returns (bytes32 key) {
        key = _validations[given].validator != address(0) ? given : only;
        require(key != 0, UnknownRequest(given));
        require(key != SHARED, AmbiguousRequest(given));
    }

    /// @dev Each by its bare hash where that finds it. A hash chosen to equal another request's key does not.
    function _named(bytes32[] storage keys) private view returns (bytes32[] memory names) {
        names = keys;
        for (uint256 i; i < names.length; ++i) {
            bytes32 requestHash = _validations[names[i]].requestHash;
            if (_only[requestHash] == names[i] && _validations[requestHash].validator == address(0)) {
                names[i] = requestHash;
            }
        }
    }

    function _among(address validator, address[] calldata wanted) private pure returns (bool) {
        for (uint256 i; i < wanted.length; ++i) {
            if (wanted[i] == validator) return true;
        }
        return wanted.length == 0;
    }
}
