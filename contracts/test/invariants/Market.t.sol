// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { AssetRegistry } from "src/AssetRegistry.sol";
import { LicenseMarket } from "src/LicenseMarket.sol";
import { OpenToken } from "src/OpenToken.sol";
import { Licence } from "src/interfaces/ILicenseMarket.sol";
import { MarketWorld } from "../utils/MarketWorld.sol";

/// @dev Owners that offer, change, grant, decline, sell their assets and forget; buyers that buy, renew, give away.
contract MarketHandler is MarketWorld {
    /// @dev Wei paid in, paid to owners, refunded and paid to the treasury: counted by what accounts gain and lose.
    uint256 public paidIn;

    uint256[] private _assets;
    address[3] private _owners;

    function setUp() public override {
        super.setUp();
        _assets = [datanet, model, adapter];
        _owners = [alice, bob, carol];
        for (uint256 i; i < 3; ++i) {
            _fund(_owners[i], 1000 ether);
        }
        _fund(buyer, 1_000_000_000 ether);
        _fund(stranger, 1_000_000_000 ether);
    }

    function world() external view returns (OpenToken, AssetRegistry, LicenseMarket) {
        return (token, assets, market);
    }

    function assetIds() external view returns (uint256[] memory) {
        return _assets;
    }

    function register(uint256 who, uint256 first, uint256 second, uint16 bps) external {
        if (_assets.length == 12) return;
        (first, second) = (_pick(first), _pick(second));
        uint256[] memory parents = first == second ? new uint256[](1) : _pair(first, second);
        parents[0] = first;
        if (assets.depthOf(first) == 8 || assets.depthOf(second) == 8) return;
        _assets.push(_asset(_owners[who % 3], 3, uint16(bound(bps, 0, 10_000)), parents));
    }

    function offer(uint256 what, uint96 price, uint32 duration, bool withKey, bool transferable) external {
        uint256 id = _pick(what);
        duration = duration % 3 == 0 ? 0 : uint32(bound(duration, 1, 60 days));
        vm.prank(assets.ownerOf(id));
        market.offer(
            id, "terms", uint96(bound(price, 0, 100 ether)), duration, withKey ? 2 days : 0, 0, transferable
        );
    }

    function change(uint256 offerId, uint96 price, bool open) external {
        if (market.offerCount() == 0) return;
        offerId = bound(offerId, 1, market.offerCount());
        vm.prank(assets.ownerOf(market.offerOf(offerId).assetId));
        market.change(offerId, uint96(bound(price, 0, 100 ether)), 0, open);
    }

    function buy(uint256 offerId, uint256 who) external {
        if (market.offerCount() == 0) return;
        offerId = bound(offerId, 1, market.offerCount());
        address by = who % 2 == 0 ? buyer : stranger;
        uint256 price = market.offerOf(offerId).price;
        vm.prank(by);
        market.buy(offerId, who % 3 == 0 ? buyer : stranger, price);
        paidIn += price;
    }

    function renew(uint256 id) external {
        id = _licence(id, false);
        uint256 price = market.offerOf(market.licence(id).offerId).price;
        vm.prank(buyer);
        market.renew(id, price);
        paidIn += price;
    }

    function transfer(uint256 id) external {
        id = _licence(id, false);
        address holder = market.licence(id).holder;
        vm.prank(holder);
        market.transfer(id, holder == buyer ? stranger : buyer);
    }

    function grant(uint256 id) external {
        id = _licence(id, true);
        vm.prank(assets.ownerOf(market.offerOf(market.licence(id).offerId).assetId));
        market.grantKey(id, "key");
    }

    function refund(uint256 id, bool decline) external {
        id = _licence(id, true);
        Licence memory l = market.licence(id);
        uint256 before = token.balanceOf(l.payer);
        if (decline) vm.prank(assets.ownerOf(market.offerOf(l.offerId).assetId));
        market.refund(id);
        assertEq(token.balanceOf(l.payer) - before, l.held, "the payer gets the whole price back");
        paidIn -= l.held;
    }

    function pay(uint256 what, uint256 amount) external {
        amount = bound(amount, 1, 100 ether);
        vm.prank(stranger);
        market.payAsset(_pick(what), amount);
        paidIn += amount;
    }

    function distribute(uint256 what) external {
        market.distribute(_pick(what));
    }

    function sell(uint256 what, uint256 to) external {
        uint256 id = _pick(what);
        address owner = assets.ownerOf(id);
        vm.prank(owner);
        assets.transferFrom(owner, _owners[to % 3], id);
    }

    function tombstone(uint256 what) external {
        if (what % 8 != 0) return;
        uint256 id = _pick(what / 8);
        vm.prank(assets.ownerOf(id));
        assets.tombstone(id);
    }

    function collectCut() external {
        market.collectCut();
    }

    function pass(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1 hours, 5 days));
    }

    function _pick(uint256 dice) private view returns (uint256) {
        return _assets[dice % _assets.length];
    }

    /// @dev A licence whose key is awaited, or one that is not, from a random place on.
    function _licence(uint256 dice, bool awaited) private view returns (uint256) {
        uint256 count = market.licenceCount();
        uint256 id = bound(dice, 1, count);
        for (uint256 i; i < count; ++i) {
            uint256 other = 1 + (id + i) % count;
            try market.licence(other) returns (Licence memory l) {
                if ((l.expiresAt == 0) == awaited) return other;
            } catch { } // refunded
        }
        return id;
    }

    /// @dev What owners and treasury were paid so far.
    function paidOut() external view returns (uint256 sum) {
        for (uint256 i; i < 3; ++i) {
            sum += token.balanceOf(_owners[i]) - 1000 ether;
        }
        sum += token.balanceOf(treasury);
    }
}

/// @title Every wei paid to the market is income, held, cut, or was paid out; and all of it can leave.
contract MarketInvariants is Test {
    MarketHandler private handler;
    OpenToken private token;
    AssetRegistry private assets;
    LicenseMarket private market;

    function setUp() public {
        handler = new MarketHandler();
        handler.setUp();
        (token, assets, market) = handler.world();
        bytes4[] memory selectors = new bytes4[](15);
        selectors[0] = MarketHandler.register.selector;
        selectors[1] = MarketHandler.offer.selector;
        selectors[2] = MarketHandler.change.selector;
        selectors[3] = MarketHandler.buy.selector;
        selectors[4] = MarketHandler.renew.selector;
        selectors[5] = MarketHandler.transfer.selector;
        selectors[6] = MarketHandler.grant.selector;
        selectors[7] = MarketHandler.refund.selector;
        selectors[8] = MarketHandler.pay.selector;
        selectors[9] = MarketHandler.distribute.selector;
        selectors[10] = MarketHandler.sell.selector;
        selectors[11] = MarketHandler.tombstone.selector;
        selectors[12] = MarketHandler.collectCut.selector;
        selectors[13] = MarketHandler.pass.selector;
        selectors[14] = MarketHandler.buy.selector; // twice as often as the rest
        targetContract(address(handler));
        targetSelector(FuzzSelector({ addr: address(handler), selectors: selectors }));
    }

    function invariant_everyWeiIsAccountedFor() public view {
        (uint256 held,) = _held();
        uint256 balance = token.balanceOf(address(market));
        assertEq(balance, _income() + held + market.cut(), "the market holds what it owes");
        assertEq(handler.paidIn(), balance + handler.paidOut(), "what came in is here or was paid out");
    }

    /// @dev Everything that waits for a key goes back, everything else reaches owners and treasury.
    function afterInvariant() public {
        (, uint256[] memory waiting) = _held();
        vm.warp(block.timestamp + 2 days + 1);
        for (uint256 i; i < waiting.length && waiting[i] != 0; ++i) {
            market.refund(waiting[i]);
        }
        uint256[] memory ids = handler.assetIds();
        // children come after their parents: backwards is every child before its parents
        for (uint256 i = ids.length; i > 0; --i) {
            if (market.incomeOf(ids[i - 1]) != 0) market.distribute(ids[i - 1]);
        }
        market.collectCut();
        assertEq(token.balanceOf(address(market)), 0, "market drained");
    }

    /// @dev The invariants are worth what the handlers reach.
    function test_handlersReachEverything() public {
        uint256 reached;
        for (uint256 seed; seed < 150; ++seed) {
            uint256 d = uint256(keccak256(abi.encode(seed)));
            try handler.register(d, d >> 8, d >> 16, uint16(d)) {
                reached |= 1;
            } catch { }
            try handler.offer(d, uint96(d), uint32(d), d % 2 == 0, d % 4 < 2) {
                reached |= 2;
            } catch { }
            try handler.buy(d, d >> 8) {
                reached |= 4;
            } catch { }
            try handler.renew(d) {
                reached |= 8;
            } catch { }
            try handler.transfer(d >> 3) {
                reached |= 16;
            } catch { }
            if (d % 3 == 0) {
                try handler.grant(d >> 4) {
                    reached |= 32;
                } catch { }
            }
            try handler.refund(d >> 5, d % 2 == 0) {
                reached |= 64;
            } catch { }
            try handler.distribute(d) {
                reached |= 128;
            } catch { }
            if (d % 8 == 0) handler.pass(d);
        }
        assertEq(reached, 255);
        invariant_everyWeiIsAccountedFor();
        afterInvariant();
    }

    function _income() private view returns (uint256 sum) {
        uint256[] memory ids = handler.assetIds();
        for (uint256 i; i < ids.length; ++i) {
            sum += market.incomeOf(ids[i]);
        }
    }

    function _held() private view returns (uint256 sum, uint256[] memory waiting) {
        uint256 count = market.licenceCount();
        waiting = new uint256[](count + 1);
        uint256 n;
        for (uint256 id = 1; id <= count; ++id) {
            try market.licence(id) returns (Licence memory l) {
                sum += l.held;
                if (l.expiresAt == 0) waiting[n++] = id;
            } catch { } // refunded
        }
    }
}
