"""Word lists and sentence patterns of the generic training text; data only, see :mod:`._corpus`."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ASPECTS", "KINDS", "WORDS"]


class Aspect(NamedTuple):
    """One thing that can be said: ways to say it, sentences to say it in, and wordings that ask for it."""

    answers: tuple[str, ...]
    frames: tuple[str, ...]
    questions: tuple[str, ...]


class Kind(NamedTuple):
    """A kind of made-up thing: what it may be called and what can be said of it."""

    nouns: tuple[str, ...]
    aspects: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.replace("\n", " ").split("|"))


WORDS: dict[str, tuple[str, ...]] = {
    "part": _words(
        "vault|token|bridge|pool|oracle|router|auction|escrow|lottery|registry|treasury|faucet|wallet|farm|market|"
        "voting contract|lending pool|reward contract|price feed|staking contract|upgrade proxy|fee collector"
    ),
    "function": _words(
        "withdraw function|deposit function|claim function|mint function|swap function|burn function|"
        "transfer hook|settle function|setter|constructor|initializer|callback|fallback|liquidation call|"
        "refund loop|vote counter|signature check|permit call|price lookup|redeem function|admin call"
    ),
    "value": _words(
        "share balance|total supply|debt index|reward debt|nonce|owner|fee rate|exchange rate|price|deadline|"
        "signer|chain id|allowance|loan balance|interest index|vote weight|round number|collateral|timestamp|"
        "merkle root|pending owner|stored hash|decimals|token amount|caller"
    ),
    "actor": _words(
        "an attacker|a stranger|any caller|the first depositor|a borrower|a validator|a bidder|the old owner|"
        "a keeper|a flash loan user|a voter|a relayer|a miner|one holder|a lender"
    ),
    "bad": _words(
        "sends the coins before it lowers|never checks|reads a stale copy of|rounds up|forgets to update|trusts|overwrites|"
        "multiplies before it scales|skips|can set twice|accepts any|divides by|loops twice over|"
        "adds twice|leaves out|returns early and ignores|copies|confuses"
    ),
    "loss": _words(
        "the whole deposit|all unclaimed rewards|the fees of a week|half of the reserve|a small part of each trade|"
        "the collateral of other users|every pending withdrawal|the votes of absent holders|the bond of honest users"
    ),
    "remedy": _words(
        "checks the|stores the|updates the|caps the|rounds down the|reads twice the|signs over the|resets the|"
        "refuses to clear the|bounds the|delays the|locks the|compares the|burns the|records the"
    ),
    "moment": _words(
        "before any external call|after each deposit|at the end of a round|on every transfer|once per block|"
        "inside the constructor|when the queue is empty|during an upgrade|before the deadline|in the same transaction|"
        "only once|after a delay of two days|at the start of each epoch"
    ),
    "finder": _words(
        "a fuzz test with random deposits|an invariant test|a reviewer reading the code by hand|a unit test on a fork|"
        "a symbolic run|a replay of old transactions|a student on a public contest|a gas report|a static check"
    ),
    "gauge": _words(
        "rain gauge|thermometer|air sensor|water level probe|wind vane|soil probe|salt meter|dust counter|"
        "snow scale|sound meter|light sensor|oxygen probe|pressure gauge|turbidity meter|ozone monitor|"
        "tide gauge|methane detector|flow meter|humidity sensor|radiation counter"
    ),
    "unit": _words(
        "millimetres|degrees|micrograms per cubic metre|centimetres|metres per second|percent|milligrams per litre|"
        "parts per billion|decibels|kilopascals|litres per second|hours|minutes|lux|volts"
    ),
    "spot": _words(
        "above the weir|beside the old mill|on the roof of the school|under the railway bridge|at the harbour mouth|"
        "in the upper meadow|below the dam|on a mast of ten metres|near the ring road|at the edge of the forest|"
        "in the cellar of the town hall|on the north slope|between two fields of barley|behind the lighthouse|"
        "on a floating raft|along the drainage ditch|at the foot of the glacier|in a shaded courtyard"
    ),
    "disturb": _words(
        "a spider web|morning frost|drifting leaves|a loose cable|algae on the lens|salt spray|a nearby barbecue|"
        "road work|a flock of starlings|low battery voltage|a blocked inlet|direct afternoon sun|mud in the pipe|"
        "a clock that ran late|a wet filter|ice on the cup|a passing ferry|fresh paint"
    ),
    "effect": _words(
        "reads too high|reads too low|sends no data|repeats the last value|drifts slowly upward|jumps up and down|"
        "shows a false peak|stays flat|loses every third sample|reports negative values"
    ),
    "period": _words(
        "every ten minutes|once an hour|at sunrise|on windless nights|after heavy rain|in the first week of spring|"
        "between noon and three|during the thaw|every second day|at low tide|through the dry season|"
        "on market days|before dawn|when the gates are open|late in autumn"
    ),
    "repair": _words(
        "cleans the lens with soft water|swaps the filter|subtracts the night offset|shades the box with a white plate|"
        "compares it with a second probe|replaces the seal|raises the mast|moves the inlet away from the road|"
        "discards the flagged samples|resets the clock by radio|heats the funnel gently|empties the trap|"
        "fits a finer mesh|scales the readings by a known weight"
    ),
    "trend": _words(
        "rose by {number} percent in two years|fell to {number} {unit}|stays near {number} {unit}|"
        "reached {number} {unit} in one night|doubles within {number} hours|peaks at {number} {unit}|"
        "has not changed since the flood|drops below {number} {unit} in winter"
    ),
    "craft": _words(
        "bakery|ferry|orchard|library|workshop|garden|theatre|school|mill|farm|harbour|observatory|museum|brewery"
    ),
    "good": _words(
        "bread|apples|old maps|wooden boats|lamps|honey|paper|violins|bricks|cheese|rope|clocks|seeds|blankets|tiles"
    ),
    "deed": _words(
        "opens before sunrise|sells its best pieces in winter|lends tools to neighbours|closes when the river is high|"
        "keeps a careful list of every visitor|trains two apprentices each year|moved to a larger house|"
        "grew from a single table|works by candle light|pays its helpers in kind|repairs what others throw away"
    ),
    "reason": _words(
        "because the road is quiet then|since the roof was damaged|so that nothing is wasted|because the owner likes order|"
        "as the law asks for it|because the old method was slow|so that children can watch|since the bridge was built"
    ),
}

ASPECTS: dict[str, Aspect] = {
    "flaw": Aspect(
        (
            "the {function} {bad} the {value}",
            "the {function} of the {part} {bad} the {value}",
            "the {function} {bad} the {value} and the {value}",
            "the {value} is not part of the signed message",
            "a {function} without access control changes the {value}",
            "the {part} {bad} the {value} {moment}",
        ),
        (
            "in <thing>, <answer>.",
            "auditors of <thing> found that <answer>.",
            "the report on <thing> says that <answer>.",
            "reviewers noted a bug in <thing>: <answer>.",
        ),
        (
            "What is the flaw in <thing>?",
            "What did the auditors find in <thing>?",
            "Which bug does <thing> have?",
            "What is wrong with <thing>?",
            "What mistake was made in <thing>?",
            "Which weakness was reported for <thing>?",
        ),
    ),
    "exploit": Aspect(
        (
            "{actor} can call the {function} {moment}",
            "{actor} can take {loss} {moment}",
            "{actor} moves the {value} and then calls the {function}",
            "{actor} reuses one signature to call the {function} again",
            "{actor} sends one unit and makes the {value} jump",
        ),
        (
            "because of this, <answer>.",
            "in <thing>, <answer>.",
            "the auditors of <thing> showed that <answer>.",
            "as a result <answer>.",
        ),
        (
            "How can <thing> be attacked?",
            "How could someone exploit <thing>?",
            "What can an attacker do to <thing>?",
            "In what way can <thing> be abused?",
            "What does an attack on <thing> look like?",
        ),
    ),
    "impact": Aspect(
        (
            "users lose {loss}",
            "the {part} loses {loss} {moment}",
            "about {number} percent of {loss} can be lost",
            "{loss} stays locked in the {part} for ever",
            "the {value} stays wrong for {number} days",
        ),
        ("the damage: <answer>.", "in the worst case <answer>.", "for <thing> this means that <answer>."),
        (
            "What could be lost in <thing>?",
            "What is the damage in <thing>?",
            "What is the worst case for <thing>?",
            "What harm follows for users of <thing>?",
            "Which loss threatens <thing>?",
        ),
    ),
    "fix": Aspect(
        (
            "the {function} now {remedy} {value} {moment}",
            "the new {part} {remedy} {value} {moment}",
            "the team added a guard that {remedy} {value}",
            "the {function} {remedy} {value} and the {value}",
            "a minimum of {number} shares is minted {moment}",
        ),
        (
            "the fix is that <answer>.",
            "after the repair <answer>.",
            "to fix <thing>, <answer>.",
            "in the new version of <thing> <answer>.",
        ),
        (
            "How was <thing> fixed?",
            "What is the fix for <thing>?",
            "How did the team repair <thing>?",
            "What changed in <thing> after the audit?",
            "Which change solved the problem of <thing>?",
        ),
    ),
    "finding": Aspect(
        (
            "{finder} showed it after {number} runs",
            "{finder} found it on the {number}th day",
            "{finder} failed when the {value} was zero",
            "{finder} caught the wrong {value}",
        ),
        ("<answer>.", "in <thing>, <answer>.", "{finder} was tried first, but <answer>."),
        (
            "How was the bug in <thing> found?",
            "Who noticed the problem in <thing>?",
            "How did the flaw of <thing> come to light?",
            "What revealed the error in <thing>?",
        ),
    ),
    "place": Aspect(
        (
            "the {gauge} stands {spot}",
            "its {gauge} hangs {spot} and {spot}",
            "two probes are fixed {spot}",
            "the {gauge} sits {number} metres from the shore",
        ),
        (
            "at <thing>, <answer>.",
            "in the network of <thing>, <answer>.",
            "<answer>, as the log of <thing> tells.",
        ),
        (
            "Where does <thing> measure?",
            "Where is the sensor of <thing>?",
            "Where was <thing> set up?",
            "In which spot does <thing> take its readings?",
        ),
    ),
    "reading": Aspect(
        (
            "the level {trend}",
            "the {gauge} {trend} {period}",
            "the nightly mean {trend}",
            "the value of the {gauge} {trend}",
        ),
        ("at <thing>, <answer>.", "records of <thing> show that <answer>.", "over the years <answer>."),
        (
            "What does <thing> record?",
            "What do the readings of <thing> show?",
            "Which values were seen at <thing>?",
            "What has <thing> measured?",
        ),
    ),
    "fault": Aspect(
        (
            "the {gauge} {effect} {period}",
            "{disturb} makes the {gauge} fail {period}",
            "the {gauge} {effect} because of {disturb}",
            "{disturb} and {disturb} disturb the {gauge}",
        ),
        (
            "at <thing>, <answer>.",
            "the crew of <thing> noticed that <answer>.",
            "however, <answer>.",
            "a known problem of <thing>: <answer>.",
        ),
        (
            "What disturbs the readings of <thing>?",
            "Which fault does <thing> have?",
            "What goes wrong at <thing>?",
            "Why are the data of <thing> sometimes wrong?",
            "What is the known problem at <thing>?",
        ),
    ),
    "care": Aspect(
        (
            "the crew {repair} {period}",
            "a volunteer {repair} {period}",
            "the software {repair} and {repair}",
            "the keeper {repair} after {number} days",
        ),
        ("for this reason <answer>.", "at <thing>, <answer>.", "to keep <thing> honest, <answer>."),
        (
            "How is <thing> kept accurate?",
            "How are the readings of <thing> corrected?",
            "What does the crew of <thing> do about it?",
            "How is the sensor of <thing> maintained?",
            "Which step corrects <thing>?",
        ),
    ),
    "rhythm": Aspect(
        (
            "it takes a sample {period} and sends {number} at once",
            "the {gauge} is read {period}",
            "data leave the box {period}",
            "an alarm is sent when it passes {number} {unit}",
        ),
        ("at <thing>, <answer>.", "<answer>.", "as agreed for <thing>, <answer>."),
        (
            "How often does <thing> measure?",
            "When does <thing> send its data?",
            "When does <thing> raise an alarm?",
            "What is the schedule of <thing>?",
        ),
    ),
    "habit": Aspect(
        (
            "the {craft} {deed} {reason}",
            "it {deed} and makes {good} and {good}",
            "{person} sells {good} there {period}",
            "it stands {spot} and {deed}",
        ),
        (
            "at <thing>, <answer>.",
            "people say of <thing> that <answer>.",
            "<answer>.",
            "visitors of <thing> know that <answer>.",
        ),
        (
            "What is <thing> known for?",
            "What do people say of <thing>?",
            "What happens at <thing>?",
            "What is special about <thing>?",
        ),
    ),
    "past": Aspect(
        (
            "{person} founded it {number} years ago {spot}",
            "it was a {craft} until the war ended",
            "it burned down and {person} built it again",
            "it once made {good} for {number} villages",
        ),
        ("of <thing> we know that <answer>.", "long ago <answer>.", "in the town book of <thing>: <answer>."),
        (
            "How did <thing> begin?",
            "What was <thing> in the past?",
            "Who started <thing>?",
            "What does the town book tell about <thing>?",
        ),
    ),
}

KINDS: tuple[Kind, ...] = (
    Kind(
        _words(
            "Vault|Swap|Bridge|Pool|Lend|Oracle|Auction|Escrow|Lottery|Registry|Farm|Token|Wallet|Market|Stake|"
            "Finance|Router|Names|Council|Pay|Protocol"
        ),
        ("flaw", "exploit", "impact", "fix", "finding"),
    ),
    Kind(
        _words(
            "Station|Creek|Harbour|Ridge|Valley|Lake|Marsh|Field|Point|Bay|Hill|Gate|Forest|Island|Reservoir|Park|"
            "Bridge|Quarry|Meadow|Plain"
        ),
        ("place", "reading", "fault", "care", "rhythm"),
    ),
    Kind(
        _words("Bakery|Mill|Library|Garden|Ferry|Workshop|Orchard|Theatre|School|Farm"),
        ("habit", "past", "care"),
    ),
)
