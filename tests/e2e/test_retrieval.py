"""What a retriever put into the prompts, over the real stack: a score of its own in the record and in its receipt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import loop
import pytest
from stranger import account_of, found_in, fresh
from world import NETS

from openledger import datanets
from openledger.agents import load_agent
from openledger.datanets import Row
from openledger.runtime import Service, deploy_agent, register_agent

FINDINGS = datanets.shipped(NETS["findings"])


@pytest.fixture(scope="module")
def librarian(stack: Any) -> Iterator[Service]:
    """An agent in service that retrieves before it answers."""
    world = stack.world
    target = f"{Path(__file__).parent / 'librarian.py'}:librarian"
    registered = register_agent(
        load_agent(target),
        world.connection,
        world.people.operator,
        base=world.base.asset_id,
        adapters={"findings": world.adapters["findings"].asset_id},
        datanet_ids=[ref.asset_id for ref in world.datanets.values()],
        stake=loop.STAKE,
        engine_class=stack.pool.engine_class,
    )
    service = deploy_agent(
        target, registered, world.connection, world.people.operator, stack.pool, world.trained.base
    )
    yield service
    service.close()


def test_what_a_retriever_put_into_the_prompt_is_a_score_of_its_own_and_what_it_only_claims_is_not(
    stack: Any, librarian: Service, tmp_path: Path
) -> None:
    net, index = stack.world.datanets["findings"], librarian.attributor.index
    put, claimed, renamed = FINDINGS.rows[3:6]

    def document(text: Row, name: Row, *, read: bool) -> dict[str, Any]:
        metadata = {"row": name.row, "datanet_id": net.asset_id, "datanet_cid": net.cid}
        return {"text": text.text, "metadata": metadata, "read": read}

    asked = {
        "question": FINDINGS.rows[0].facts[0].question,
        "documents": [
            document(put, put, read=True),
            document(claimed, claimed, read=False),
            document(renamed, claimed, read=True),
        ],
    }
    operator = librarian.operator
    receipt = stack.client.call(operator, operator.agent_id, asked, operator.agent.price)
    librarian.batcher.anchor()
    shown = fresh(stack, tmp_path, "show", receipt.cid)
    seen = shown["scores"]["retrieval"]
    assert [row[1:] for row in seen["rows"]] == [
        [net.cid, put.row, account_of(stack, put), len(index.encode(put.text))]
    ]
    assert [(one[1], one[3], one[4]) for one in seen["refused"]] == [
        (1, claimed.row, "it stands in no later prompt"),
        (2, claimed.row, "no declared datanet has a row of this name with these words"),
    ]
    assert seen["paid"] is False
    assert put.row not in {line["row"] for line in shown["words"]}, "it is not in the answer"
    told = fresh(stack, tmp_path, "recompute", receipt.cid)
    assert (told["found"], found_in(told)["retrieval"]) == ("ok", "ok")
