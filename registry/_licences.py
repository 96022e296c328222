"""Licences of assets and keys of private data, by the ``LicenseMarket`` of one chain.

Amounts are wei of OPEN, times unix seconds of the chain's clock.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ChainError, UserError
from ._keccak import keccak
from ._ledger import Ledger

if TYPE_CHECKING:
    from ..contracts import Authorization, Chain, Contracts, Signer

__all__ = ["MAX_KEY", "Licence", "Licences", "Offer", "PurchaseConsent"]

MAX_KEY = 1024
"""Bytes a wrapped key may have."""

_FOR_EVER = 2**40 - 1
_CONSENT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Offer:
    """What an asset's owner sells. ``terms`` is the digest of the licence's text, ``duration`` and
    ``grant_period`` are seconds (None: for ever; no key is needed), ``max_count`` None: any number."""

    offer_id: int
    asset_id: int
    terms: bytes
    price: int
    duration: int | None
    grant_period: int | None
    max_count: int | None
    sold: int
    transferable: bool
    open: bool


@dataclass(frozen=True, slots=True)
class Licence:
    """A sold licence. ``expires_at`` is None for ever; while ``grant_by`` is not None its key is awaited, the licence
    is not in force, and ``held`` wei wait to become income or to go back to ``payer``."""

    licence_id: int
    offer_id: int
    asset_id: int
    holder: str
    expires_at: int | None
    grant_by: int | None
    payer: str
    held: int

    def in_force(self, now: int) -> bool:
        """Whether it is valid at a time."""
        return self.grant_by is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class PurchaseConsent:
    """A payer's signature to buy one licence of an offer for ``holder`` at exactly the price it names; whoever has it can
    send it, and nothing else can be bought with it."""

    offer_id: int
    holder: str
    salt: bytes
    authorization: Authorization

    def to_abi(self) -> tuple[int, str, tuple[Any, ...]]:
        """The arguments of ``buyWithAuthorization``."""
        given = self.authorization
        times = (given.valid_after, given.valid_before)
        return self.offer_id, self.holder, (given.client, given.value, *times, self.salt, *given.vrs)


class Licences:
    """See the module. Methods that send take the signer first and raise ``ChainError`` with the decoded ``revert`` when
    the market refuses; the others only read."""

    def __init__(self, contracts: Contracts) -> None:
        self._contracts, self._market = contracts, contracts.market

    @property
    def chain(self) -> Chain:
        return self._contracts.chain

    # -- offers ----------------------------------------------------------------------------------

    def offer(
        self,
        signer: Signer,
        asset_id: int,
        price: int,
        *,
        terms: bytes,
        duration: int | None = None,
        grant_period: int | None = None,
        max_count: int | None = None,
        transferable: bool = False,
    ) -> int:
        """Offer licences of an asset of ``signer``; returns the offer's id. Fields as in :class:`Offer`."""
        for name, value in (("duration", duration), ("grant_period", grant_period), ("max_count", max_count)):
            if value is not None and not 0 < value < 2**32:
                raise UserError(f"{name} cannot be {value}", fix="leave it out, or give 1 to 4294967295")
        if not 0 <= price < 2**96 or len(terms) != 32:
            raise UserError(
                "This offer is malformed",
                why=f"a price of {price} wei and terms of {len(terms)} bytes",
                fix="give a price of at least 0 and the 32-byte digest of the licence's text",
            )
        call = self._market.functions.offer(
            asset_id, terms, price, duration or 0, grant_period or 0, max_count or 0, transferable
        )
        receipt = self.chain.send(call, signer)
        return int(receipt.event(self._market.events.OfferMade)["offerId"])

    def change(
        self,
        signer: Signer,
        offer_id: int,
        *,
        price: int | None = None,
        max_count: int | None = None,
        open: bool | None = None,
    ) -> Offer:
        """Change price, count (0: any number) or openness of an offer; what is left out stays."""
        now = self.get_offer(offer_id)
        self.chain.send(
            self._market.functions.change(
                offer_id,
                now.price if price is None else price,
                (now.max_count or 0) if max_count is None else max_count,
                now.open if open is None else open,
            ),
            signer,
        )
        return self.get_offer(offer_id)

    def get_offer(self, offer_id: int) -> Offer:
        """An offer. Raises ``UserError`` when there is none."""
        found = self._read(self._market.functions.offerOf(offer_id), "UnknownOffer", f"offer {offer_id}")
        return Offer(
            offer_id=offer_id,
            asset_id=int(found.assetId),
            terms=bytes(found.terms),
            price=int(found.price),
            duration=int(found.duration) or None,
            grant_period=int(found.grantPeriod) or None,
            max_count=int(found.maxCount) or None,
            sold=int(found.sold),
            transferable=bool(found.transferable),
            open=bool(found.open),
        )

    def offers(self, asset_id: int) -> list[Offer]:
        """Every offer ever made for an asset, as it stands now."""
        made = self._logs(self._market.events.OfferMade, assetId=asset_id)
        return [self.get_offer(int(log["args"]["offerId"])) for log in made]

    def sold(self, offer_id: int) -> list[Licence]:
        """Every licence of an offer that was not refunded, as it stands now."""
        ids = [
            int(log["args"]["licenceId"])
            for log in self._logs(self._market.events.LicenceSold, offerId=offer_id)
        ]
        gone = self._logs(self._market.events.LicenceRefunded)
        refunded = {int(log["args"]["licenceId"]) for log in gone}
        return [self.get(licence_id) for licence_id in ids if licence_id not in refunded]

    # -- licences --------------------------------------------------------------------------------

    def consent(
        self,
        payer: Signer,
        offer_id: int,
        holder: str,
        price: int,
        *,
        salt: bytes | None = None,
        valid_before: int | None = None,
    ) -> PurchaseConsent:
        """``payer``'s signature to buy a licence for ``holder`` at ``price``; no transaction, no gas. It is valid for ten
        minutes of the chain's clock unless ``valid_before`` says otherwise."""
        from ..contracts import sign_authorization

        salt = secrets.token_bytes(32) if salt is None else salt
        authorization = sign_authorization(
            self._contracts.token_domain,
            payer,
            to=str(self._market.address),
            value=price,
            nonce=purchase_nonce(offer_id, holder, salt),
            valid_before=self.chain.now() + _CONSENT_SECONDS if valid_before is None else valid_before,
            receive=True,
        )
        return PurchaseConsent(offer_id, holder, salt, authorization)

    def relay(self, signer: Signer, consent: PurchaseConsent) -> int:
        """Buy with somebody's consent; ``signer`` pays the gas only. Returns the licence's id."""
        call = self._market.functions.buyWithAuthorization(*consent.to_abi())
        receipt = self.chain.send(call, signer)
        return int(receipt.event(self._market.events.LicenceSold)["licenceId"])

    def buy(
        self, signer: Signer, offer_id: int, *, holder: str | None = None, max_price: int | None = None
    ) -> int:
        """Buy a licence, for ``signer`` unless ``holder`` is given, and return its id.

        Native OPEN is wrapped where the token is short. Raises ``UserError`` when the price is above ``max_price``
        (default: what it is now; a price that changes meanwhile is refused on-chain).
        """
        price = self._agreed(offer_id, max_price)
        receipt = Ledger(self._contracts, signer).send_taking(
            price, self._market.functions.buy, offer_id, holder or str(signer.address), price
        )
        return int(receipt.event(self._market.events.LicenceSold)["licenceId"])

    def renew(self, signer: Signer, licence_id: int, *, max_price: int | None = None) -> int:
        """Add the offer's duration to a licence, at ``signer``'s expense; returns when it expires."""
        price = self._agreed(self.get(licence_id).offer_id, max_price)
        ledger = Ledger(self._contracts, signer)
        receipt = ledger.send_taking(price, self._market.functions.renew, licence_id, price)
        return int(receipt.event(self._market.events.LicenceRenewed)["expiresAt"])

    def transfer(self, signer: Signer, licence_id: int, to: str) -> None:
        """Give a licence of ``signer`` to another account, where its offer allows that."""
        self.chain.send(self._market.functions.transfer(licence_id, to), signer)

    def present(self, signer: Signer, licence_id: int) -> None:
        """Make a licence the one :meth:`is_licensed` finds for its holder. Needed by who holds several licences of one
        asset and gave away the one that counted."""
        self.chain.send(self._market.functions.present(licence_id), signer)

    def grant_key(self, signer: Signer, licence_id: int, wrapped: bytes) -> None:
        """Publish the content key, wrapped for the licence's holder (at most 1,024 bytes). The first time, the licence comes
        into force and its price becomes income."""
        if not 0 < len(wrapped) <= MAX_KEY:
            raise UserError(f"A wrapped key has 1 to {MAX_KEY} bytes, not {len(wrapped)}")
        self.chain.send(self._market.functions.grantKey(licence_id, wrapped), signer)

    def keys(self, licence_id: int) -> list[bytes]:
        """The wrapped keys granted for a licence, oldest first."""
        granted = self._logs(self._market.events.KeyGranted, licenceId=licence_id)
        return [bytes(log["args"]["wrappedKey"]) for log in granted]

    def refund(self, signer: Signer, licence_id: int) -> int:
        """Give the held price of a licence back to its payer: anyone once the time to grant its key is over, the asset's
        owner at once. Returns the wei."""
        receipt = self.chain.send(self._market.functions.refund(licence_id), signer)
        return int(receipt.event(self._market.events.LicenceRefunded)["amount"])

    def get(self, licence_id: int) -> Licence:
        """A licence. Raises ``UserError`` when there is none, or it was refunded."""
        what = f"licence {licence_id}"
        found = self._read(self._market.functions.licence(licence_id), "UnknownLicence", what)
        expires = int(found.expiresAt)
        return Licence(
            licence_id=licence_id,
            offer_id=int(found.offerId),
            asset_id=self.get_offer(int(found.offerId)).asset_id,
            holder=str(found.holder),
            expires_at=None if expires == _FOR_EVER else expires,
            grant_by=int(found.grantBy) or None,
            payer=str(found.payer),
            held=int(found.held),
        )

    def is_licensed(self, asset_id: int, account: str) -> bool:
        """Whether the account holds a licence of the asset that is in force now."""
        return bool(self.chain.call(self._market.functions.isLicensed(asset_id, account)))

    def _agreed(self, offer_id: int, max_price: int | None) -> int:
        price = self.get_offer(offer_id).price
        if max_price is not None and price > max_price:
            raise UserError(
                f"offer {offer_id} costs {price} wei",
                why=f"at most {max_price} was agreed",
                fix="agree to more, or look for another offer",
            )
        return price

    def _logs(self, event: Any, **where: Any) -> Iterator[Any]:
        return self.chain.logs(event, self._contracts.deployment.block, where=where)

    def _read(self, call: Any, unknown: str, what: str) -> Any:
        try:
            return self.chain.call(call)
        except ChainError as error:
            if error.revert is None or not error.revert.startswith(unknown):
                raise
            raise UserError(
                f"There is no {what} on chain {self.chain.chain_id}",
                why="it was never made, or refunded" if unknown == "UnknownLicence" else "it was never made",
                fix="correct the id",
            ) from None


def purchase_nonce(offer_id: int, holder: str, salt: bytes) -> bytes:
    """The EIP-3009 nonce of a :class:`PurchaseConsent`."""
    return keccak(offer_id.to_bytes(32, "big") + int(holder, 16).to_bytes(32, "big") + salt)
