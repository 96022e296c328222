// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Links in dag-cbor blocks.
/// @notice A link counts only where an item of the block starts (bytes that merely look like one may stand inside a
/// string that a client chose) and only as an element of a list of links or after a hash: those lead to parts of the
/// same record, at most 4 KiB each. Links that are values of named fields (`parent`, `content`, `receipt`, ...) and of
/// numbered assets lead to other things, which an operator need not hold.
library DagCbor {
    /// @dev A tag 42, 37 bytes follow: identity prefix, CIDv1, codec (in the seventh byte), sha2-256 of 32 bytes.
    uint256 private constant LINK = 0xd82a58250001001220;
    uint256 private constant LINK_MASK = 0xffffffffffff00ffff;
    uint256 private constant LINK_LENGTH = 41;
    uint256 private constant DAG_CBOR = 0x71;
    uint256 private constant RAW = 0x55;

    uint256 private constant BYTES = 2;
    uint256 private constant TEXT = 3;
    uint256 private constant LIST = 4;
    uint256 private constant NONE = 8;

    /// @notice Digest that the link at `offset` names, and whether it names a dag-cbor block (else raw bytes).
    /// @return ok false when there is no such link.
    function linkAt(bytes calldata data, uint256 offset)
        internal
        pure
        returns (bool ok, bytes32 digest, bool isNode)
    {
        if (offset + LINK_LENGTH > data.length) return (false, 0, false);
        uint256 before = _itemBefore(data, offset);
        // a link's own 37 bytes are a string too: lists of links are covered from their second element on
        if (before != LIST && before != BYTES) return (false, 0, false);
        uint256 head = _word(data, offset) >> 184;
        if (head & LINK_MASK != LINK) return (false, 0, false);
        uint256 codec = (head >> 16) & 0xff;
        if (codec != DAG_CBOR && codec != RAW) return (false, 0, false);
        return (true, bytes32(_word(data, offset + 9)), codec == DAG_CBOR);
    }

    /// @dev Major type of the item that ends where one starts at `offset`; NONE when none does, or it is the first.
    /// Items of lists, maps and tags simply follow their heads, so one pass without a stack visits them all.
    function _itemBefore(bytes calldata data, uint256 offset) private pure returns (uint256 major) {
        major = NONE;
        uint256 at;
        while (at < offset) {
            uint256 word = _word(data, at);
            uint256 info = (word >> 248) & 31;
            major = word >> 253;
            uint256 argument = info;
            ++at;
            if (info > 23) {
                // 24 to 27: one to eight bytes follow; the rest is reserved, or of indefinite length
                if (info > 27) return NONE;
                uint256 size = 1 << (info - 24);
                argument = (word << 8) >> (256 - 8 * size);
                at += size;
            }
            if (major == BYTES || major == TEXT) at += argument;
        }
        if (at != offset) return NONE;
    }

    /// @dev 32 bytes from `at`, whatever follows the block included: callers check that what they use lies within it.
    function _word(bytes calldata data, uint256 at) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(add(data.offset, at))
        }
    }
}
