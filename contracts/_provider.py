"""The HTTP connection to a node: unreachable becomes ``ChainError``, and only reads are repeated."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..errors import ChainError

if TYPE_CHECKING:
    from requests import Session
    from web3.providers.rpc import HTTPProvider

__all__ = ["open_provider"]

_READS = ["net", "web3", "eth_chainId", "eth_blockNumber", "eth_getBalance", "eth_getStorageAt", "eth_getCode",
          "eth_getBlockByNumber", "eth_getBlockByHash", "eth_getTransactionByHash", "eth_getTransactionReceipt",
          "eth_getTransactionCount", "eth_call", "eth_estimateGas", "eth_getLogs", "eth_gasPrice",
          "eth_maxPriorityFeePerGas", "eth_feeHistory"]  # fmt: skip

_CONNECTIONS = 64
"""At most; more calls at once wait for one."""


@lru_cache(maxsize=1)
def _provider_class() -> type[HTTPProvider]:
    from requests.exceptions import ConnectionError, RequestException, Timeout
    from web3.providers.rpc import HTTPProvider
    from web3.providers.rpc.utils import ExceptionRetryConfiguration
    from web3.types import RPCEndpoint

    class Provider(HTTPProvider):
        def __init__(self, rpc_url: str, timeout: float) -> None:
            retry = ExceptionRetryConfiguration(errors=[ConnectionError], retries=3, method_allowlist=_READS)
            # web3 asks for the chain id before every call to validate it: half of all requests. It is checked
            # once in Chain.connect, and every signature carries it.
            super().__init__(
                rpc_url,
                session=_session(rpc_url),
                request_kwargs={"timeout": timeout},
                exception_retry_configuration=retry,
                cache_allowed_requests=True,
                cacheable_requests={RPCEndpoint("eth_chainId")},
            )
            self._named, self._seconds = rpc_url, timeout

        def make_request(self, method: Any, params: Any) -> Any:
            try:
                return super().make_request(method, params)
            except Timeout:
                why = f"no answer to {method} within {self._seconds:g} s"
            except RequestException as error:
                why = f"{type(error).__name__} on {method}"
            raise ChainError(
                f"The chain's RPC endpoint {self._named} cannot be reached",
                why=why,
                fix="start the node, or correct OPENLEDGER_RPC_URL",
                code="chain.unreachable",
            )

    return Provider


def _session(rpc_url: str) -> Session:
    """For all threads. The environment's proxies, certificates and passwords are looked up once: for every request it
    takes as long as the request."""
    from requests import Session
    from requests.adapters import HTTPAdapter
    from requests.utils import get_netrc_auth

    session = Session()
    found = session.merge_environment_settings(rpc_url, {}, None, None, None)
    session.proxies, session.verify, session.cert = found["proxies"], found["verify"], found["cert"]
    session.auth, session.trust_env = get_netrc_auth(rpc_url), False
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS, pool_block=True))
    return session


def open_provider(rpc_url: str, timeout: float) -> HTTPProvider:
    """A web3 provider with a time limit for every call."""
    return _provider_class()(rpc_url, timeout)  # type: ignore[arg-type]
