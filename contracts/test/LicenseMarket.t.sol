// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import { LicenseMarket } from "src/LicenseMarket.sol";
import { Authorization, ILicenseMarket, Licence, Offer } from "src/interfaces/ILicenseMarket.sol";
import { IIntakeGuard } from "src/interfaces/IIntakeGuard.sol";
import { IOpenToken } from "src/interfaces/IOpenToken.sol";
import { Param } from "src/types/Param.sol";
import { MarketWorld } from "./utils/MarketWorld.sol";

/// @dev A token that calls whoever asked for it during every transfer.
contract HookedToken is ERC20("HOOK", "HOOK") {
    address private target;
    bytes[] private calls;
    uint256 public succeeded;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function hook(address target_, bytes calldata call) external {
        target = target_;
        calls.push(call);
    }

    function unhook() external {
        target = address(0);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (target == address(0)) return;
        address at = target;
        target = address(0); // one level is enough
        for (uint256 i; i < calls.length; ++i) {
            (bool ok,) = at.call(calls[i]);
            if (ok) ++succeeded;
        }
        target = at;
    }
}

contract LicenseMarketTest is MarketWorld {
    bytes32 private constant TERMS = keccak256("terms");
    uint32 private constant MONTH = 30 days;

    function test_deployment_needsATreasury() public {
        vm.expectRevert(ILicenseMarket.ZeroAccount.selector);
        new LicenseMarket(token, parameters, assets, address(0));
        assertEq(market.treasury(), treasury);
    }

    function test_offer_storesEverything() public {
        vm.prank(alice);
        uint256 id = market.offer(datanet, TERMS, 3 ether, MONTH, 2 days, 7, true);
        Offer memory o = market.offerOf(id);
        assertEq(id, 1);
        assertEq(o.assetId, datanet);
        assertEq(o.terms, TERMS);
        assertEq(o.price, 3 ether);
        assertEq(o.duration, MONTH);
        assertEq(o.grantPeriod, 2 days);
        assertEq(o.maxCount, 7);
        assertEq(o.sold, 0);
        assertTrue(o.transferable && o.open);
        assertEq(market.offerCount(), 1);
    }

    function test_offer_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.NotAuthorized.selector, datanet, address(this)));
        market.offer(datanet, TERMS, 1, 0, 0, 0, false);
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.BadGrantPeriod.selector, 30 days + 1));
        market.offer(datanet, TERMS, 1, 0, 30 days + 1, 0, false);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.UnknownOffer.selector, 1));
        market.offerOf(1);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.UnknownOffer.selector, 1));
        market.change(1, 1, 1, true);
        assets.tombstone(datanet);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.Tombstoned.selector, datanet));
        market.offer(datanet, TERMS, 1, 0, 0, 0, false);
    }

    function test_approvedAccountsActForTheOwner() public {
        vm.prank(alice);
        assets.approve(stranger, datanet);
        vm.prank(stranger);
        uint256 id = market.offer(datanet, TERMS, 1, 0, 0, 0, false);
        vm.prank(alice);
        assets.setApprovalForAll(bob, true);
        vm.prank(bob);
        market.change(id, 2, 3, false);
        assertEq(market.offerOf(id).price, 2);
        assertFalse(market.offerOf(id).open);
    }

    function test_buy_forEver() public {
        uint256 id = _buy(_offer(0, 0), buyer);
        assertEq(market.licence(id).expiresAt, type(uint40).max);
        assertTrue(market.isLicensed(datanet, buyer));
        assertFalse(market.isLicensed(model, buyer));
        assertFalse(market.isLicensed(datanet, stranger));
        assertFalse(market.isLicensed(datanet, address(0)));
        vm.warp(block.timestamp + 1000 * 365 days);
        assertTrue(market.isLicensed(datanet, buyer));
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.NothingToRenew.selector, id));
        market.renew(id, 1 ether);
    }

    function test_buy_paysTheAssetAndTheProtocol() public {
        vm.prank(carol);
        uint256 offerId = market.offer(adapter, TERMS, 1 ether, 0, 0, 0, false);
        _buy(offerId, buyer);
        assertEq(market.incomeOf(adapter), 0.95 ether);
        assertEq(market.cut(), 0.05 ether);
        market.collectCut();
        assertEq(token.balanceOf(treasury), 0.05 ether);
        assertEq(market.cut(), 0);
        market.distribute(adapter);
        assertEq(market.incomeOf(datanet), 0.095 ether, "royalties flow along the lineage");
    }

    function test_buy_forSomebodyElse() public {
        uint256 offerId = _offer(MONTH, 0);
        vm.prank(stranger);
        market.buy(offerId, buyer, 1 ether);
        assertTrue(market.isLicensed(datanet, buyer));
        assertFalse(market.isLicensed(datanet, stranger));
        assertEq(token.balanceOf(stranger), 999 ether);
    }

    function test_buy_freeOfCharge() public {
        vm.prank(alice);
        uint256 offerId = market.offer(datanet, TERMS, 0, MONTH, 0, 0, false);
        _buy(offerId, buyer);
        assertTrue(market.isLicensed(datanet, buyer));
        assertEq(token.balanceOf(address(market)), 0);
    }

    function test_buy_refusals() public {
        uint256 offerId = _offer(MONTH, 0);
        vm.startPrank(buyer);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.UnknownOffer.selector, 9));
        market.buy(9, buyer, 1 ether);
        vm.expectRevert(ILicenseMarket.ZeroAccount.selector);
        market.buy(offerId, address(0), 1 ether);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.PriceChanged.selector, 1 ether, 1 ether - 1));
        market.buy(offerId, buyer, 1 ether - 1);
        vm.stopPrank();
        vm.prank(alice);
        market.change(offerId, 1 ether, 0, false);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.OfferClosed.selector, offerId));
        vm.prank(buyer);
        market.buy(offerId, buyer, 1 ether);
        vm.startPrank(alice);
        market.change(offerId, 1 ether, 0, true);
        assets.tombstone(datanet);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.Tombstoned.selector, datanet));
        vm.prank(buyer);
        market.buy(offerId, buyer, 1 ether);
    }

    function test_buy_countIsKept() public {
        vm.prank(alice);
        uint256 offerId = market.offer(datanet, TERMS, 1 ether, 0, 1 days, 2, false);
        uint256 first = _buy(offerId, buyer);
        _buy(offerId, stranger);
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.SoldOut.selector, offerId));
        market.buy(offerId, buyer, 1 ether);
        vm.prank(alice);
        market.refund(first);
        _buy(offerId, buyer); // a refunded place is free again
        vm.prank(alice);
        market.change(offerId, 1 ether, 1, true);
        assertEq(market.offerOf(offerId).sold, 2, "sold licences stay");
        assertTrue(market.offerOf(offerId).maxCount == 1);
    }

    function test_rent_endsAndIsRenewed() public {
        uint256 id = _buy(_offer(MONTH, 0), buyer);
        uint256 start = block.timestamp;
        vm.warp(start + MONTH - 1);
        assertTrue(market.isLicensed(datanet, buyer));
        vm.prank(stranger); // anyone may pay for it
        assertEq(market.renew(id, 1 ether), start + 2 * MONTH, "early renewal loses no second");
        vm.warp(start + 2 * MONTH);
        assertFalse(market.isLicensed(datanet, buyer), "it ends with its last second");
        vm.warp(start + 3 * MONTH);
        vm.prank(buyer);
        assertEq(market.renew(id, 1 ether), start + 4 * MONTH, "a late one counts from now");
        assertTrue(market.isLicensed(datanet, buyer));
        assertEq(market.incomeOf(datanet), 3 * _net(1 ether));
    }

    function test_renew_refusals() public {
        uint256 offerId = _offer(MONTH, 0);
        uint256 id = _buy(offerId, buyer);
        vm.prank(alice);
        market.change(offerId, 2 ether, 0, true);
        vm.startPrank(buyer);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.PriceChanged.selector, 2 ether, 1 ether));
        market.renew(id, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.UnknownLicence.selector, 9));
        market.renew(9, 1 ether);
        vm.stopPrank();
        vm.prank(alice);
        market.change(offerId, 2 ether, 0, false);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.OfferClosed.selector, offerId));
        vm.prank(buyer);
        market.renew(id, 2 ether);
        assertTrue(market.isLicensed(datanet, buyer), "closing an offer takes nothing away");
        vm.startPrank(alice);
        market.change(offerId, 2 ether, 0, true);
        assets.tombstone(datanet);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.Tombstoned.selector, datanet));
        vm.prank(buyer);
        market.renew(id, 2 ether);
    }

    function test_renew_neverTurnsALeaseIntoASale() public {
        vm.prank(alice);
        uint256 offerId = market.offer(datanet, TERMS, 0, type(uint32).max, 0, 0, false);
        uint256 id = _buy(offerId, buyer);
        for (uint256 i; i < 300; ++i) {
            market.renew(id, 0);
        }
        assertEq(market.licence(id).expiresAt, type(uint40).max - 1);
        market.renew(id, 0);
        assertEq(market.licence(id).expiresAt, type(uint40).max - 1);
    }

    // --- keys --------------------------------------------------------------------------------------------------

    function test_grantKey_releasesThePriceAndStartsTheTerm() public {
        uint256 id = _buy(_offer(MONTH, 2 days), buyer);
        assertFalse(market.isLicensed(datanet, buyer), "not before the key");
        assertEq(market.incomeOf(datanet), 0);
        assertEq(token.balanceOf(address(market)), 1 ether);
        vm.warp(block.timestamp + 2 days);
        vm.expectEmit();
        emit ILicenseMarket.KeyGranted(id, datanet, buyer, "wrapped", keccak256("wrapped"));
        vm.prank(alice);
        market.grantKey(id, "wrapped");
        assertEq(market.keyDigestOf(id), keccak256("wrapped"));
        assertTrue(market.isLicensed(datanet, buyer));
        assertEq(market.licence(id).expiresAt, block.timestamp + MONTH);
        assertEq(market.licence(id).held, 0);
        assertEq(market.licence(id).grantBy, 0, "nothing is awaited");
        assertEq(market.licence(id).payer, address(0));
        assertEq(market.incomeOf(datanet), _net(1 ether));
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.NothingHeld.selector, id));
        market.refund(id);
        vm.prank(alice);
        market.grantKey(id, "rotated"); // pays nothing a second time
        assertEq(market.incomeOf(datanet), _net(1 ether));
        assertEq(market.keyDigestOf(id), keccak256("rotated"));
    }

    function test_grantKey_refusals() public {
        uint256 open = _buy(_offer(MONTH, 0), buyer);
        uint256 id = _buy(_offer(MONTH, 1 days), buyer);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.NotAuthorized.selector, datanet, address(this)));
        market.grantKey(id, "key");
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.NoKeyNeeded.selector, open));
        market.grantKey(open, "key");
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.BadKey.selector, 0));
        market.grantKey(id, "");
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.BadKey.selector, 1025));
        market.grantKey(id, new bytes(1025));
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.UnknownLicence.selector, 9));
        market.grantKey(9, "key");
        uint256 by = market.licence(id).grantBy;
        vm.warp(by + 1);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.TooLate.selector, by));
        market.grantKey(id, "key");
        vm.stopPrank();
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.NotInForce.selector, id));
        market.renew(id, 1 ether);
    }

    function test_refund_whenNoKeyCame() public {
        uint256 offerId = _offer(MONTH, 1 days);
        vm.prank(stranger);
        uint256 id = market.buy(offerId, buyer, 1 ether); // a gift: the money is the giver's
        uint256 by = market.licence(id).grantBy;
        vm.warp(by);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.TooEarly.selector, by));
        market.refund(id);
        vm.warp(by + 1);
        market.refund(id); // anyone may
        assertEq(token.balanceOf(stranger), 1000 ether);
        assertEq(token.balanceOf(address(market)), 0);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.UnknownLicence.selector, id));
        market.refund(id);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.UnknownLicence.selector, id));
        market.licence(id);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.UnknownLicence.selector, id));
        vm.prank(alice);
        market.grantKey(id, "key");
    }

    function test_refund_theOwnerMayDeclineAtOnce() public {
        uint256 id = _buy(_offer(MONTH, 1 days), buyer);
        vm.prank(alice);
        market.refund(id);
        assertEq(token.balanceOf(buyer), 1000 ether);
    }

    function test_tombstone_leavesLicencesAndRefunds() public {
        uint256 granted = _buy(_offer(0, 1 days), buyer);
        uint256 waiting = _buy(_offer(0, 1 days), stranger);
        vm.startPrank(alice);
        market.grantKey(granted, "key");
        assets.tombstone(datanet);
        vm.stopPrank();
        assertTrue(market.isLicensed(datanet, buyer));
        vm.warp(block.timestamp + 1 days + 1);
        market.refund(waiting);
        assertEq(token.balanceOf(stranger), 1000 ether);
    }

    // --- transfers ---------------------------------------------------------------------------------------------

    function test_transfer_movesTheRight() public {
        uint256 id = _buy(_transferable(MONTH), buyer);
        vm.prank(buyer);
        market.transfer(id, stranger);
        assertFalse(market.isLicensed(datanet, buyer));
        assertTrue(market.isLicensed(datanet, stranger));
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.NotHolder.selector, id, buyer));
        vm.prank(buyer);
        market.transfer(id, buyer);
        vm.prank(stranger);
        market.transfer(id, buyer);
        assertTrue(market.isLicensed(datanet, buyer));
        vm.prank(buyer);
        market.transfer(id, buyer); // to oneself changes nothing
        assertTrue(market.isLicensed(datanet, buyer));
    }

    function test_transfer_refusals() public {
        uint256 bound_ = _buy(_offer(MONTH, 0), buyer);
        uint256 id = _buy(_transferable(MONTH), buyer);
        vm.startPrank(buyer);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.NotTransferable.selector, bound_));
        market.transfer(bound_, stranger);
        vm.expectRevert(ILicenseMarket.ZeroAccount.selector);
        market.transfer(id, address(0));
        vm.warp(block.timestamp + MONTH);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.NotInForce.selector, id));
        market.transfer(id, stranger);
    }

    function test_transfer_notWhileTheKeyIsAwaited() public {
        vm.prank(alice);
        uint256 offerId = market.offer(datanet, TERMS, 1 ether, 0, 1 days, 0, true);
        uint256 id = _buy(offerId, buyer);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.NotInForce.selector, id));
        vm.prank(buyer);
        market.transfer(id, stranger);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.NotInForce.selector, id));
        market.present(id);
    }

    function test_several_theLongestCounts() public {
        uint256 short = _buy(_offer(1 days, 0), buyer);
        uint256 long = _buy(_transferable(MONTH), buyer);
        vm.warp(block.timestamp + 2 days);
        assertTrue(market.isLicensed(datanet, buyer));
        vm.prank(buyer);
        market.renew(short, 1 ether); // ends before the long one
        vm.prank(buyer);
        market.transfer(long, stranger);
        assertFalse(market.isLicensed(datanet, buyer), "the one that counted is gone");
        market.present(short);
        assertTrue(market.isLicensed(datanet, buyer));
        vm.prank(stranger);
        market.transfer(long, buyer);
        market.present(short); // the longer one stays
        vm.warp(block.timestamp + 2 days);
        assertTrue(market.isLicensed(datanet, buyer));
    }

    function test_saleOfTheAsset_keepsLicencesAndPaysWhoOwns() public {
        uint256 offerId = _offer(MONTH, 1 days);
        uint256 granted = _buy(offerId, buyer);
        vm.prank(alice);
        market.grantKey(granted, "key");
        market.distribute(datanet);
        uint256 waiting = _buy(offerId, buyer);
        vm.prank(alice);
        assets.transferFrom(alice, bob, datanet);
        assertTrue(market.isLicensed(datanet, buyer));
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.NotAuthorized.selector, datanet, alice));
        vm.prank(alice);
        market.grantKey(waiting, "key");
        vm.prank(bob);
        market.grantKey(waiting, "key");
        market.distribute(datanet);
        assertEq(token.balanceOf(alice), _net(1 ether), "what was distributed before the sale");
        assertEq(token.balanceOf(bob), _net(1 ether), "what became income after it");
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.NotAuthorized.selector, datanet, alice));
        vm.prank(alice);
        market.change(offerId, 0, 0, true);
    }

    // --- signatures --------------------------------------------------------------------------------------------

    function test_authorization_buysWithoutATransactionOfThePayer() public {
        (address payer, uint256 secret) = makeAddrAndKey("payer");
        _fund(payer, 1 ether);
        uint256 offerId = _offer(MONTH, 0);
        Authorization memory a = _authorize(payer, secret, offerId, buyer, 1 ether);
        vm.prank(stranger);
        market.buyWithAuthorization(offerId, buyer, a);
        assertTrue(market.isLicensed(datanet, buyer));
        assertEq(token.balanceOf(payer), 0);
        assertEq(token.balanceOf(stranger), 1000 ether);
        vm.expectRevert(); // used up
        market.buyWithAuthorization(offerId, buyer, a);
    }

    function test_authorization_bindsOfferHolderPriceAndTime() public {
        (address payer, uint256 secret) = makeAddrAndKey("payer");
        _fund(payer, 10 ether);
        uint256 offerId = _offer(MONTH, 0);
        uint256 other = _offer(0, 0);
        Authorization memory a = _authorize(payer, secret, offerId, buyer, 1 ether);
        bytes4 bad = bytes4(keccak256("ERC3009InvalidSignature()"));
        vm.expectRevert(bad);
        market.buyWithAuthorization(other, buyer, a);
        vm.expectRevert(bad);
        market.buyWithAuthorization(offerId, stranger, a);
        vm.prank(alice);
        market.change(offerId, 2 ether, 0, true);
        vm.expectRevert(abi.encodeWithSelector(ILicenseMarket.PriceChanged.selector, 2 ether, 1 ether));
        market.buyWithAuthorization(offerId, buyer, a);
        a.value = 2 ether;
        vm.expectRevert(bad);
        market.buyWithAuthorization(offerId, buyer, a);
        a = _authorize(payer, secret, offerId, buyer, 2 ether);
        vm.warp(a.validBefore);
        vm.expectPartialRevert(bytes4(keccak256("ERC3009InvalidAuthorizationTime(uint256,uint256)")));
        market.buyWithAuthorization(offerId, buyer, a);
    }

    function test_authorization_refundsThePayer() public {
        (address payer, uint256 secret) = makeAddrAndKey("payer");
        _fund(payer, 1 ether);
        uint256 offerId = _offer(MONTH, 1 days);
        Authorization memory a = _authorize(payer, secret, offerId, buyer, 1 ether);
        uint256 id = market.buyWithAuthorization(offerId, buyer, a);
        vm.warp(block.timestamp + 1 days + 1);
        market.refund(id);
        assertEq(token.balanceOf(payer), 1 ether);
    }

    // --- money -------------------------------------------------------------------------------------------------

    function testFuzz_price_isSplitToTheWei(uint96 price, uint16 bps) public {
        bps = uint16(bound(bps, 100, 2000));
        price = uint96(bound(price, 0, 10_000_000 ether));
        vm.prank(governor);
        parameters.set(Param.ProtocolCut, bps);
        _fund(buyer, price);
        vm.prank(alice);
        uint256 offerId = market.offer(datanet, TERMS, price, 0, 0, 0, false);
        vm.prank(buyer);
        market.buy(offerId, buyer, price);
        assertEq(market.cut() + market.incomeOf(datanet), price);
        assertEq(market.cut(), uint256(price) * bps / 10_000);
        assertEq(token.balanceOf(address(market)), price);
    }

    function test_pause_stopsPurchasesAndNothingElse() public {
        uint256 rented = _buy(_transferable(MONTH), buyer);
        uint256 offerId = _offer(MONTH, 1 days);
        uint256 granted = _buy(offerId, buyer);
        uint256 declined = _buy(offerId, buyer);
        address guardian = makeAddr("guardian");
        vm.prank(governor);
        parameters.setGuardian(guardian);
        vm.prank(guardian);
        parameters.pauseIntake(1 days);
        bytes memory paused =
            abi.encodeWithSelector(IIntakeGuard.IntakePaused.selector, block.timestamp + 1 days);
        vm.expectRevert(paused);
        vm.prank(buyer);
        market.buy(offerId, buyer, 1 ether);
        vm.expectRevert(paused);
        vm.prank(buyer);
        market.renew(rented, 1 ether);
        vm.expectRevert(paused);
        vm.prank(buyer);
        market.payAsset(datanet, 1 ether);
        vm.startPrank(alice);
        vm.expectRevert(paused);
        market.offer(datanet, TERMS, 1, 0, 0, 0, false);
        market.grantKey(granted, "key");
        market.refund(declined);
        market.change(offerId, 1, 0, false);
        vm.stopPrank();
        market.distribute(datanet);
        market.collectCut();
        vm.prank(buyer);
        market.transfer(rented, stranger);
        assertTrue(market.isLicensed(datanet, stranger));
        assertEq(token.balanceOf(address(market)), 0);
    }

    /// @dev Were OPEN a token that calls back, nothing could be taken twice.
    function test_reentrancy_aTokenThatCallsBackTakesNothingTwice() public {
        HookedToken hooked = new HookedToken();
        LicenseMarket m = new LicenseMarket(IOpenToken(address(hooked)), parameters, assets, treasury);
        hooked.mint(buyer, 10 ether);
        hooked.mint(stranger, 10 ether);
        vm.prank(stranger);
        hooked.approve(address(m), 10 ether);
        vm.prank(stranger);
        m.payAsset(datanet, 10 ether); // somebody else's money to be stolen
        vm.prank(carol);
        uint256 offerId = m.offer(adapter, TERMS, 1 ether, 0, 1 days, 0, false);
        vm.startPrank(buyer);
        hooked.approve(address(m), 10 ether);
        uint256 id = m.buy(offerId, buyer, 1 ether);
        vm.stopPrank();
        vm.warp(block.timestamp + 1 days + 1);
        hooked.hook(address(m), abi.encodeCall(m.refund, (id)));
        hooked.hook(address(m), abi.encodeCall(m.distribute, (datanet)));
        m.refund(id);
        assertEq(hooked.balanceOf(buyer), 10 ether, "refunded once");
        m.collectCut();
        assertEq(hooked.balanceOf(alice), 10 ether, "the nested distribution paid once");
        assertEq(hooked.succeeded(), 1);
        assertEq(hooked.balanceOf(address(m)), 0);
    }

    function _offer(uint32 duration, uint32 grantPeriod) private returns (uint256) {
        vm.prank(alice);
        return market.offer(datanet, TERMS, 1 ether, duration, grantPeriod, 0, false);
    }

    function _transferable(uint32 duration) private returns (uint256) {
        vm.prank(alice);
        return market.offer(datanet, TERMS, 1 ether, duration, 0, 0, true);
    }

    function _buy(uint256 offerId, address by) private returns (uint256) {
        vm.prank(by);
        return market.buy(offerId, by, 1 ether);
    }

    function _authorize(address payer, uint256 secret, uint256 offerId, address holder, uint256 value)
        private
        view
        returns (Authorization memory a)
    {
        a.payer = payer;
        a.value = value;
        a.validBefore = block.timestamp + 1 hours;
        a.salt = keccak256("salt");
        bytes32 typeHash = keccak256(
            "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
        bytes32 nonce = market.authorizationNonce(offerId, holder, a.salt);
        bytes32 struct_ = keccak256(
            abi.encode(typeHash, payer, address(market), value, a.validAfter, a.validBefore, nonce)
        );
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), struct_));
        (a.v, a.r, a.s) = vm.sign(secret, digest);
    }
}
