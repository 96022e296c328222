"""The chain client against a real node: sends, reverts, logs, time, and a node that cannot be trusted to answer."""

from __future__ import annotations

import json
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from eth_account import Account
from web3.exceptions import Web3RPCError
from web3.types import RPCEndpoint

from openledger.contracts import (
    Chain,
    Contracts,
    Devnet,
    _sending,
    load_signer,
    sign_authorization,
    sign_permit,
    token_domain,
)
from openledger.errors import ChainError, UserError


def test_genesis_holds_a_billion_open(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Devnet.start(tmp_path_factory.mktemp("genesis")) as devnet:
        chain = devnet.connect()
        assert sum(chain.balance(account.address) for account in devnet.accounts) == 10**9 * 10**18
        assert abs(chain.now() - time.time()) < 60
        assert devnet.accounts[0].address == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


def test_send_returns_the_event_it_caused(contracts: Contracts, devnet: Devnet) -> None:
    chain, signer = contracts.chain, devnet.accounts[1]
    receipt = chain.send(contracts.token.functions.deposit(), signer, value=5)
    assert receipt.event(contracts.token.events.Deposit) == {"account": signer.address, "amount": 5}
    assert receipt.gas_used > 21_000
    with pytest.raises(ChainError, match="did not emit") as caught:
        receipt.event(contracts.token.events.Withdrawal)
    assert caught.value.tx == receipt.tx


def test_a_revert_is_decoded_before_anything_is_sent(contracts: Contracts, devnet: Devnet) -> None:
    chain, signer = contracts.chain, devnet.accounts[2]
    before = chain.w3.eth.get_transaction_count(signer.address)
    with pytest.raises(ChainError, match="transfer was refused") as caught:
        chain.send(contracts.token.functions.transfer(devnet.accounts[3].address, 7), signer)
    assert (
        caught.value.revert
        == f"ERC20InsufficientBalance(sender={signer.address.lower()}, balance=0, needed=7)"
    )
    assert caught.value.tx is None
    assert chain.w3.eth.get_transaction_count(signer.address) == before
    with pytest.raises(ChainError, match="UnknownAsset") as caught:
        chain.call(contracts.assets.functions.asset(404))
    assert caught.value.revert == "UnknownAsset(assetId=404)"


def test_a_revert_on_chain_names_transaction_and_error(contracts: Contracts, devnet: Devnet) -> None:
    chain, signer = contracts.chain, devnet.accounts[2]
    call = contracts.token.functions.transfer(devnet.accounts[3].address, 10**30)
    with pytest.raises(ChainError, match="failed on-chain") as caught:
        chain.send(call, signer, gas=200_000)  # a given gas limit skips the estimate that would refuse it
    assert (caught.value.revert or "").startswith("ERC20InsufficientBalance")
    assert caught.value.tx is not None
    chain.send(contracts.token.functions.deposit(), signer, value=1)  # and the next nonce is right


def test_native_transfers(chain: Chain, devnet: Devnet) -> None:
    target = Account.create().address
    chain.transfer(target, devnet.accounts[4], 123)
    assert chain.balance(target) == 123
    with pytest.raises(ChainError, match="a transfer to"):
        chain.transfer(target, devnet.accounts[4], 10**30)


def test_concurrent_sends_from_one_key_are_all_mined_once(contracts: Contracts, devnet: Devnet) -> None:
    signer = devnet.accounts[5]
    # Two clients of the same process share the nonces too.
    chains = [contracts.chain, devnet.connect()]
    first = contracts.chain.w3.eth.get_transaction_count(signer.address)

    def deposit(i: int) -> int:
        contract = Contracts(chains[i % 2], contracts.deployment)
        return int(chains[i % 2].send(contract.token.functions.deposit(), signer, value=i + 1).block)

    with ThreadPoolExecutor(8) as pool:
        blocks = list(pool.map(deposit, range(40)))
    assert len(blocks) == 40
    assert contracts.chain.w3.eth.get_transaction_count(signer.address) == first + 40
    balance = contracts.chain.call(contracts.token.functions.balanceOf(signer.address))
    assert balance == sum(range(1, 41))


def test_another_program_on_the_same_key_leaves_no_gap_and_no_double(
    contracts: Contracts, devnet: Devnet
) -> None:
    chain, signer = contracts.chain, devnet.accounts[6]
    sent: Any = {"from": signer.address, "to": signer.address, "value": 0}
    chain.send(contracts.token.functions.deposit(), signer, value=1)
    chain.w3.eth.send_transaction(sent)  # signed by the node, past this process's nonces
    chain.send(contracts.token.functions.deposit(), signer, value=1)
    stop, turns, done = threading.Event(), threading.Semaphore(0), 2

    def intrude() -> None:
        while turns.acquire() and not stop.wait(0.01):
            with suppress(Web3RPCError):  # it loses a nonce now and then, too
                chain.w3.eth.send_transaction(sent)

    intruder = threading.Thread(target=intrude)
    intruder.start()
    try:
        for _ in range(20):
            while turns.acquire(blocking=False):  # fewer each time than a send bears, however slow it is
                pass
            turns.release(3)
            try:
                chain.send(contracts.token.functions.deposit(), signer, value=1)
                done += 1
            except ChainError as error:
                if error.code != "chain.replaced":
                    raise
    finally:
        stop.set()
        turns.release()
        intruder.join()
    assert chain.call(contracts.token.functions.balanceOf(signer.address)) == done


def test_logs_are_complete_and_in_order_whatever_the_step(contracts: Contracts, devnet: Devnet) -> None:
    chain, signer = contracts.chain, devnet.accounts[7]
    for i in range(7):
        chain.send(contracts.token.functions.deposit(), signer, value=100 + i)
    where = {"account": signer.address}
    for step in (1, 3, 5_000):
        found = chain.logs(contracts.token.events.Deposit, contracts.deployment.block, where=where, step=step)
        assert [log["args"]["amount"] for log in found] == [100 + i for i in range(7)]
    assert list(chain.logs(contracts.token.events.Deposit, chain.block_number() + 1)) == []


def test_time_moves_only_on_a_devnet(chain: Chain, node: Callable[..., str]) -> None:
    before = chain.now()
    assert chain.advance(3 * 86_400) >= before + 3 * 86_400
    block = chain.block_number()
    assert chain.mine(3) == block + 3
    with pytest.raises(UserError, match="cannot go back"):
        chain.advance(-1)
    other = Chain.connect(node({"web3_clientVersion": "Geth/v1.16"}))
    with pytest.raises(ChainError, match="no devnet"):
        other.advance(1)


def test_a_wrong_chain_id_is_refused(devnet: Devnet) -> None:
    with pytest.raises(ChainError, match="serves chain 31337, not chain 1") as caught:
        Chain.connect(devnet.rpc_url, chain_id=1)
    assert caught.value.code == "chain.id"
    assert "OPENLEDGER_CHAIN_ID" in caught.value.fix


def test_an_unreachable_endpoint_is_named(devnet: Devnet) -> None:
    with pytest.raises(ChainError, match=r"http://127\.0\.0\.1:9 cannot be reached") as caught:
        Chain.connect("http://127.0.0.1:9", timeout=2)
    assert caught.value.code == "chain.unreachable"
    assert "OPENLEDGER_RPC_URL" in caught.value.fix
    with pytest.raises(UserError, match="not an RPC endpoint"):
        Chain.connect("localhost:8545")


def test_a_client_crosses_process_boundaries(chain: Chain) -> None:
    assert pickle.loads(pickle.dumps(chain)).block_number() == chain.block_number()


class _Proxy(BaseHTTPRequestHandler):
    """A node that passes on most calls and goes wrong on some."""

    upstream: str
    answers: dict[str, Any]
    seen: list[tuple[str, Any]]
    drop: dict[str, int]  # method -> how many more answers are lost after the call reached the node
    late: dict[str, int]  # method -> how many more answers are null, as of what the node has not stored yet
    swallow: set[str]  # methods whose calls never reach the node, though they are acknowledged

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        request = json.loads(body)
        method = request["method"]
        self.seen.append((method, request.get("params")))
        if method in self.answers:
            answer = json.dumps(
                {"jsonrpc": "2.0", "id": request["id"], "result": self.answers[method]}
            ).encode()
        elif method in self.swallow:
            raw = bytes.fromhex(request["params"][0][2:])
            from eth_utils import keccak

            result = "0x" + keccak(raw).hex()
            answer = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode()
        else:
            host, port = self.upstream.removeprefix("http://").split(":")
            connection = HTTPConnection(host, int(port), timeout=600)
            connection.request("POST", "/", body, {"content-type": "application/json"})
            answer = connection.getresponse().read()
            connection.close()
        if self.late.get(method, 0) > 0:
            self.late[method] -= 1
            answer = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": None}).encode()
        if self.drop.get(method, 0) > 0:
            self.drop[method] -= 1
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Keep the test output quiet."""


@pytest.fixture
def node(devnet: Devnet) -> Iterator[Callable[..., str]]:
    """Start a node in front of the devnet that misbehaves as told; returns its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(
        answers: dict[str, Any] | None = None,
        drop: dict[str, int] | None = None,
        swallow: set[str] | None = None,
        late: dict[str, int] | None = None,
        seen: list[tuple[str, Any]] | None = None,
    ) -> str:
        state = {
            "upstream": devnet.rpc_url,
            "answers": answers or {},
            "drop": drop or {},
            "swallow": swallow or set(),
            "late": late or {},
            "seen": seen if seen is not None else [],
        }
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Proxy", (_Proxy,), state))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_lost_answer_never_sends_money_twice(
    contracts: Contracts, devnet: Devnet, node: Callable[..., str]
) -> None:
    signer = devnet.accounts[8]
    seen: list[tuple[str, Any]] = []
    chain = Chain.connect(node(drop={"eth_sendRawTransaction": 2}, seen=seen))
    before = chain.w3.eth.get_transaction_count(signer.address)
    chain.send(Contracts(chain, contracts.deployment).token.functions.deposit(), signer, value=10**18)
    sent = [params for method, params in seen if method == "eth_sendRawTransaction"]
    assert len({json.dumps(params) for params in sent}) == 1, "only the same bytes are broadcast again"
    assert chain.w3.eth.get_transaction_count(signer.address) == before + 1
    assert chain.call(contracts.token.functions.balanceOf(signer.address)) == 10**18


def test_a_receipt_that_comes_after_its_nonce_was_counted_is_waited_for(
    contracts: Contracts, devnet: Devnet, node: Callable[..., str]
) -> None:
    """The state of a block may be seen before its receipts: the transaction is not taken for replaced."""
    signer = devnet.accounts[8]
    balance = contracts.chain.call(contracts.token.functions.balanceOf(signer.address))
    chain = Chain.connect(node(late={"eth_getTransactionReceipt": 6}))
    receipt = chain.send(Contracts(chain, contracts.deployment).token.functions.deposit(), signer, value=5)
    assert receipt.block > 0
    assert contracts.chain.call(contracts.token.functions.balanceOf(signer.address)) == balance + 5


def test_a_transaction_that_pays_too_little_is_offered_again_for_more_and_happens_once(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fees jump while it waits: the same call at the same nonce goes out with a higher one."""
    monkeypatch.setattr(_sending, "_RAISES", 59)  # the first after two seconds
    with Devnet.start(tmp_path_factory.mktemp("fees")) as devnet:
        chain, payer = devnet.connect(), devnet.accounts[1]
        quick = Chain.connect(devnet.rpc_url, timeout=120)
        before, other = chain.balance(payer.address), Account.create().address
        chain.w3.provider.make_request(RPCEndpoint("evm_setAutomine"), [False])
        with ThreadPoolExecutor(1) as threads:
            sending = threads.submit(quick.transfer, other, payer, 10**18)
            until = time.monotonic() + 600
            while chain.w3.eth.get_transaction_count(payer.address, "pending") == 0:
                assert time.monotonic() < until
                time.sleep(0.02)
            (waiting,) = chain.w3.eth.get_block("pending", full_transactions=True)["transactions"]
            dear = 3 * waiting["maxFeePerGas"]
            while not sending.done():
                chain.w3.provider.make_request(RPCEndpoint("anvil_setNextBlockBaseFeePerGas"), [hex(dear)])
                chain.w3.provider.make_request(RPCEndpoint("evm_mine"), [])
                time.sleep(0.5)
        receipt = sending.result()
        mined = chain.w3.eth.get_transaction(receipt.tx)
        assert mined["maxFeePerGas"] >= dear > waiting["maxFeePerGas"]
        assert receipt.tx != "0x" + bytes(waiting["hash"]).hex()
        assert chain.balance(other) == 10**18
        spent = receipt.gas_used * receipt.raw["effectiveGasPrice"]
        assert chain.balance(payer.address) == before - 10**18 - spent
        assert chain.w3.eth.get_transaction_count(payer.address) == 1


def test_an_unknown_outcome_is_reported_as_such(
    contracts: Contracts, devnet: Devnet, node: Callable[..., str]
) -> None:
    signer = devnet.accounts[9]
    chain = Chain.connect(node(swallow={"eth_sendRawTransaction"}))
    chain._sender._timeout = 1
    with pytest.raises(ChainError, match="not known whether deposit was mined") as caught:
        chain.send(Contracts(chain, contracts.deployment).token.functions.deposit(), signer, value=1)
    assert caught.value.code == "chain.pending"
    assert caught.value.tx is not None
    chain = Chain.connect(node(drop={"eth_sendRawTransaction": 99}))
    balance = contracts.chain.call(contracts.token.functions.balanceOf(signer.address))
    # Every answer is lost, but the node has the transaction: found by its hash, not sent again.
    chain.send(Contracts(chain, contracts.deployment).token.functions.deposit(), signer, value=3)
    assert contracts.chain.call(contracts.token.functions.balanceOf(signer.address)) == balance + 3


def test_authorizations_and_permits_move_open_without_gas(contracts: Contracts, devnet: Devnet) -> None:
    chain, sponsor, client = contracts.chain, devnet.accounts[0], Account.create()
    token = contracts.token
    chain.send(token.functions.deposit(), sponsor, value=100)
    chain.send(token.functions.transfer(client.address, 100), sponsor)
    target = Account.create().address
    domain = token_domain(token)
    assert domain == contracts.token_domain
    signed = sign_authorization(
        domain, client, to=target, value=60, nonce=b"\x07" * 32, valid_before=chain.now() + 3600
    )
    transfer = token.functions.transferWithAuthorization(*signed.to_abi(), *signed.vrs)
    chain.send(transfer, sponsor)
    assert chain.call(token.functions.balanceOf(target)) == 60
    with pytest.raises(ChainError) as caught:
        chain.send(transfer, sponsor)
    assert (caught.value.revert or "").startswith("ERC3009UsedAuthorization")
    v, r, s = sign_permit(
        domain, client, spender=sponsor.address, value=40, nonce=0, deadline=chain.now() + 3600
    )
    chain.send(
        token.functions.permit(client.address, sponsor.address, 40, chain.now() + 3600, v, r, s), sponsor
    )
    chain.send(token.functions.transferFrom(client.address, target, 40), sponsor)
    assert chain.call(token.functions.balanceOf(target)) == 100


def test_a_malformed_key_is_refused_without_being_shown() -> None:
    secret = "0x1234deadbeef"
    with pytest.raises(UserError, match="malformed") as caught:
        load_signer(secret)
    assert secret not in str(caught.value)
    assert load_signer("0x" + "01" * 32).address == "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"
