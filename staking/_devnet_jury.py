"""On the embedded devnet: seat its accounts as jurors and hold a dispute to its ruling, moving the clock.

For trying challenges out on one machine. The jurors are real accounts with real votes and share one engine.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ChallengeError
from ..registry import Connection
from ._challenge import Challenge, Outcome
from ._examine import Examiner
from ._juror import Juror
from ._verify import ReplayerFor

__all__ = ["hold_jury"]


def hold_jury(
    challenge: Challenge,
    connection: Connection,
    replayer: ReplayerFor,
    examiners: Mapping[str, Examiner] | None = None,
) -> Outcome:
    """Draw, have every drawn juror that is a devnet account vote, and rule; nobody appeals, so the clock is moved
    to where the ruling is final.

    Raises ``ChallengeError`` when a drawn juror is not one of the devnet's accounts.
    """
    if connection.devnet is None:
        raise ChallengeError(
            "jurors vote in their own time on this chain", fix="run `openledger vote ID` as each"
        )
    challenge.draw()
    accounts = {str(account.address): account for account in connection.devnet.accounts}
    strangers = [address for address in challenge.committee if address not in accounts]
    if strangers:
        raise ChallengeError(f"jurors {strangers} are not the devnet's", fix="let them vote, then resolve")
    journal = connection.settings.home_dir / "votes"
    jurors = [
        Juror(connection.as_(accounts[address]), connection.store, replayer, journal, examiners)
        for address in challenge.committee
    ]
    for juror in jurors:
        juror.commit(challenge.id)
    for juror in jurors:
        juror.reveal(challenge.id)
    outcome = challenge.resolve()
    if outcome.state == "Ruled":
        chain = connection.ledger.contracts.chain
        chain.advance(challenge.appeal_by - chain.now() + 1)
        outcome = challenge.resolve()
    return outcome
