"""The keys of personal fields at an opening: found or made, and given to the codec. The opener's thread."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from actors.domain.specs import CompiledDomain
from storage.errors import KeysUnavailable
from storage.files.opening_resources import OpeningResources
from storage.log.event_log import DESTROYED_KEYS, EventLog
from storage.log.log_follower import LogFollower

if TYPE_CHECKING:
    from storage.crypto.keyring import Keyring
    from storage.crypto.master_key import MasterKey

__all__ = ["KEYS_FOLDER", "KEYS_NOTE", "MASTER_KEY_VARIABLE", "keys_folder", "master_key_of", "open_keys"]

logger = logging.getLogger("onewriter.keys")

KEYS_FOLDER = "keys"
"""The folder of the key store in a store's directory."""
MASTER_KEY_VARIABLE = "ONEWRITER_MASTER_KEY"
KEYS_NOTE = b"store/keys"
"""The note with the id of the store's key store."""


def keys_folder(path: str | os.PathLike[str], keys_path: str | None) -> str:
    """Where the key store of the store at `path` is."""
    return os.path.abspath(keys_path or os.path.join(path, KEYS_FOLDER))


def master_key_of(domain: CompiledDomain, given: Any, *, reading: bool = False) -> MasterKey | None:
    """The master key of a domain with personal fields, as it was `given` or as the environment names it.

    None if there are no personal fields, and for one who only reads and has no key.

    Raises KeysUnavailable.
    """
    if not domain.codec.personal:
        return None
    given = given or os.environ.get(MASTER_KEY_VARIABLE)
    if given is None:
        cls, fields = next(iter(domain.codec.personal.items()))
        if reading:
            logger.warning(
                "no master key was given: personal fields, such as %s.%s, are read as if everybody had "
                "been forgotten",
                cls.__name__,
                next(iter(fields)),
            )
            return None
        raise KeysUnavailable(
            f"domain {domain.name!r} has personal fields, such as {cls.__name__}.{next(iter(fields))}, and "
            "no master key was given: make one with `onewriter keys new FILE`, keep a copy of it apart from "
            f"the store, and open the store with master_key=FILE, or with {MASTER_KEY_VARIABLE}=FILE in the "
            "environment"
        )
    # Imported here: it needs a package that other domains do without.
    from storage.crypto.master_key import load_master_key

    return load_master_key(given)


def open_keys(
    log: EventLog | LogFollower,
    domain: CompiledDomain,
    keys_path: str | None,
    master: MasterKey | None,
    resources: OpeningResources,
) -> None:
    """Open the key store, and have the domain's codec seal and read with it; `resources` closes it.

    A store has one from its first opening with personal fields on. Keys that were destroyed, and are there
    since the key store is an earlier copy, are destroyed again. Raises KeysUnavailable, DamagedKeys,
    StoreLocked, StorageError.
    """
    if master is None:
        return
    from storage.crypto.key_store import KeyStore
    from storage.crypto.keyring import Keyring

    folder, known, readonly = (
        keys_folder(log.path, keys_path),
        log.note(KEYS_NOTE),
        isinstance(log, LogFollower),
    )
    if readonly and known is None:
        return  # nothing was ever sealed
    store = KeyStore.open(folder, master, readonly=readonly, create=known is None)
    if known is not None and known.decode() != store.id:
        store.close()
        raise KeysUnavailable(
            f"the key store {folder} is not that of {log.path}: it has the id {store.id}, and the log names "
            f"{known.decode()}; restore the store's own, or say where it is with keys_path="
        )
    use_keys(domain, Keyring(store, readonly=readonly), resources)
    if readonly:
        return
    assert isinstance(log, EventLog)
    destroyed = [bytes.fromhex(key[len(DESTROYED_KEYS) :].decode()) for key, _ in log.notes(DESTROYED_KEYS)]
    again = store.destroy_ids(destroyed)
    if again:
        logger.warning(
            "the key store %s is older than the log: %d keys that were destroyed since are destroyed again",
            folder,
            again,
        )
    if known is None:
        log.append([], notes=[(KEYS_NOTE, store.id.encode())])


def use_keys(domain: CompiledDomain, keyring: Keyring, resources: OpeningResources) -> None:
    """Have the domain's codec seal and read with these keys."""
    from storage.crypto.keyring import Keyring

    resources.slot(Keyring.close).resource = keyring
    domain.codec.seal_with(keyring)
    domain.canonical.seal_with(keyring)
    domain.codec.digesting = domain.canonical
