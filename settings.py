"""One ``Settings``: environment (``OPENLEDGER_*``), then ``openledger.toml``, then embedded defaults."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from .errors import UserError

__all__ = ["Settings", "get_settings"]


class Settings(BaseSettings):
    """Everything that differs between a laptop and a deployment. Leave all unset for the embedded stack."""

    model_config = SettingsConfigDict(
        env_prefix="OPENLEDGER_", env_nested_delimiter="__", toml_file="openledger.toml", extra="forbid"
    )

    home: Path = Field(default=Path(".openledger"), description="state: devnet, content, outbox, keys")
    cache: Path | None = Field(default=None, description="trained models and adapters; default home/cache")
    rpc_url: str | None = Field(default=None, description="EVM JSON-RPC; default the embedded anvil devnet")
    chain_id: int | None = Field(default=None, description="refuse to talk to any other chain")
    directory: str | None = Field(
        default=None, description="address of the contracts' Directory; default the record under home"
    )
    rpc_timeout: float = Field(default=30.0, gt=0, description="seconds per RPC call")
    relayer: str | None = Field(
        default=None, description="address of a relayer that pays the gas; default the key's own account does"
    )
    ipfs_api: str | None = Field(default=None, description="IPFS RPC multiaddr; default a local block store")
    ipfs_timeout: float = Field(default=60.0, gt=0, description="seconds per content call")
    ray_address: str | None = Field(default=None, description="Ray cluster; default a local Ray")
    ray_wheel: str | None = Field(
        default=None,
        description="openledger's wheel for Ray's nodes, path or URI; default they have it installed",
    )
    database_url: str | None = Field(default=None, description="SQLAlchemy URL; default SQLite under home")
    base_model: str | None = Field(
        default=None, description="Hugging Face name or path; default the small Llama"
    )
    engine: dict[str, Any] = Field(
        default_factory=dict, description="vLLM engine arguments, under vLLM's names"
    )
    engine_replicas: int = Field(default=1, ge=1, description="engines in the pool, each a Ray actor")
    engine_cpus: float = Field(default=1.0, ge=0, description="CPUs that Ray reserves for each of them")
    engine_gpus: float = Field(default=0.0, ge=0, description="GPUs that Ray reserves for each of them")
    private_key: SecretStr | None = Field(default=None, description="0x… key that signs transactions")
    keystore: Path | None = Field(default=None, description="encrypted key file that signs instead")
    keystore_password: SecretStr | None = Field(
        default=None, description="of the key file; default the OS keyring's, else it is asked for"
    )
    kms_key: str | None = Field(default=None, description="id of an AWS KMS key that signs instead")

    @property
    def names_a_key(self) -> bool:
        """Whether any key that signs is set."""
        return any(key is not None for key in (self.private_key, self.keystore, self.kms_key))

    @property
    def cache_dir(self) -> Path:
        return (self.cache or self.home / "cache").absolute()

    @property
    def home_dir(self) -> Path:
        return self.home.absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


@lru_cache
def get_settings() -> Settings:
    """The process-wide settings, read once. Raises ``UserError`` naming each wrong value."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(
            "the settings are wrong", why=wrong, fix="correct OPENLEDGER_… variables or openledger.toml"
        ) from None
