"""Names that could be taken for somebody else's have a tag."""

import pytest

from chat.domain.validation import clean_name
from chat.store import keys
from chat.store.migrations import MIGRATIONS, Schema
from chat.store.name_index import looks
from chat.store.person import ADMIN, MODERATOR

from ..unit.test_lookalikes import IMITATIONS, REAL


@pytest.fixture
def annette(store):
    return store.accounts.create("annette", "Annette", "hash")


@pytest.mark.parametrize("imitation", IMITATIONS, ids=ascii)
def test_who_comes_later_and_looks_the_same_has_a_tag(store, annette, imitation):
    guest = store.people.create(clean_name(imitation))
    assert guest.tag
    assert store.people.get(guest.uid).tag == guest.tag
    assert store.people.get(annette.uid).tag == ""


def test_whoever_renames_themselves_so_has_a_tag_until_they_do_not_any_more(store, annette):
    bob = store.people.create("Bob")
    imitator = store.people.edit(bob, name="Аnnеttе")
    assert imitator.tag
    assert store.people.edit(imitator, name="Bob").tag == ""


def test_people_of_different_names_have_none(store):
    made = [store.people.create(clean_name(name)) for name in REAL]
    looking = {form for name in REAL for form in looks("", name)}
    assert len(looking) >= len(REAL)
    assert [person.name for person in made if person.tag] == []


def test_a_name_that_nobody_has_any_more_is_free(store, annette):
    store.people.edit(annette, name="Anna")
    assert store.people.create("Annette").tag == ""


@pytest.mark.parametrize("role", [MODERATOR, ADMIN])
def test_who_runs_the_chat_may_be_called_so(store, role):
    person = store.people.create("Administrator", "member")
    assert person.tag
    person = store.people.edit(person, role=role)
    assert store.people.get(person.uid).tag == person.tag == ""
    person = store.people.edit(person, role="member")
    assert store.people.get(person.uid).tag == person.tag != ""


def test_a_role_gives_no_tag_to_who_had_a_name_first(store, annette):
    store.people.create("Annette")
    assert store.people.edit(annette, role=ADMIN).tag == ""


def test_looking_is_one_round_trip_whatever_the_name(client, store, annette):
    """And none that searches: two ranges of an index."""
    client.config_resetstat()
    store.people.create("Annette")
    calls = client.info("commandstats")
    assert calls["cmdstat_zrangebylex"]["calls"] <= 2
    assert calls["cmdstat_zadd"]["calls"] == 2


def test_a_database_of_before_is_brought_up_to_date(client, store):
    """Who was here gets into the index, and a tag where somebody before them looks the same."""
    names = {"a": "Annette", "b": "Аnnette", "c": "Administrator", "d": "Bob", "e": "Вob"}
    roles = {"a": "guest", "b": "member", "c": "admin", "d": "guest", "e": "guest"}
    for uid, name in names.items():
        client.hset(keys.user(uid), mapping={"name": name, "role": roles[uid], "tag": ""})
        client.hset(keys.sessions(uid), "s", "a session is nobody")
    client.set(keys.SCHEMA, 1)
    schema = Schema(client)
    for _ in range(2):
        schema.prepare()
        tags = {uid: bool(client.hget(keys.user(uid), "tag")) for uid in names}
        # "Аnnette" and "Вob" begin with a Cyrillic letter, so they are told apart anyway; of those
        # who look the same the one with more rights goes without for that.
        assert tags == {"a": True, "b": True, "c": False, "d": False, "e": True}
        assert client.zcard(keys.LOOKALIKES) == sum(len(looks(u, n)) for u, n in names.items())
        client.set(keys.SCHEMA, 1)
    assert len(MIGRATIONS) >= 2
