"""A settings file is either understood whole or refused in one line that names key, value and what is allowed."""

import re
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.runtime import fields
from orderd.runtime.fields import FieldError
from orderd.runtime.settings import SettingsError, changed_keys, flatten, is_reloadable, load, structure


@attrs.frozen
class Wheel:
    size: int
    name: str = fields.text("round")


@attrs.frozen
class Motor:
    power: int = fields.integer(5, 1, 10, reloadable=True)
    fuel: Literal["oil", "coal", "sun"] = fields.choice("oil", "oil", "coal", "sun", unsupported=("sun",))
    ratio: float = fields.number(0.5, 0, 1)
    loud: bool = fields.boolean(False)
    later: str = fields.only("")


@attrs.frozen
class Car:
    name: str = fields.text("car", lambda value: None if value else "must be a name")
    motor: Motor = fields.section(Motor)
    wheel: tuple[Wheel, ...] = ()


def written(directory: Path, text: str | bytes) -> Path:
    path = directory / "car.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(path: Path | None, *overrides: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(Car, path, overrides)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_file_sets_what_it_names_and_leaves_the_rest_at_its_default(tmp_path: Path) -> None:
    path = written(tmp_path, '[motor]\npower = 7\n[[wheel]]\nsize = 1\n[[wheel]]\nsize = 2\nname = "x"\n')
    assert load(Car, path) == Car(motor=Motor(power=7), wheel=(Wheel(1), Wheel(2, "x")))


def test_without_a_file_there_are_defaults_or_the_document_given() -> None:
    assert load(Car, None) == Car()
    document: dict[str, Any] = {"motor": {"power": 2}}
    assert load(Car, None, ["motor.loud=true"], without_file=document) == Car(motor=Motor(power=2, loud=True))
    assert document == {"motor": {"power": 2}}, "the caller's document is not changed"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nam = 1", "nam = 1: unknown key; known here: name, motor, wheel"),
        ("[motor]\nx = true", "motor.x = true: unknown key; known here: power, fuel, ratio, loud, later"),
        ("[[wheel]]\nsize = 1\ny = [1, 2]", "wheel[0].y = [1, 2]: unknown key; known here: size, name"),
        ("[engine]\na = 1", "engine = {a = 1}: unknown key; known here: name, motor, wheel"),
        ('[motor]\npower = "5"', 'motor.power = "5": must be a whole number from 1 to 10'),
        ("[motor]\npower = true", "motor.power = true: must be a whole number from 1 to 10"),
        ("[motor]\npower = 5.0", "motor.power = 5.0: must be a whole number from 1 to 10"),
        ("[motor]\npower = 0", "motor.power = 0: must be a whole number from 1 to 10"),
        ("[motor]\npower = 11", "motor.power = 11: must be a whole number from 1 to 10"),
        ("[motor]\npower = 2020-01-01", "motor.power = 2020-01-01: must be a whole number from 1 to 10"),
        ("[motor]\nratio = nan", "motor.ratio = nan: must be a number from 0 to 1"),
        ("[motor]\nratio = -0.1", "motor.ratio = -0.1: must be a number from 0 to 1"),
        ("[motor]\nratio = true", "motor.ratio = true: must be a number from 0 to 1"),
        ("[motor]\nloud = 1", "motor.loud = 1: must be true or false"),
        ('[motor]\nfuel = "tea"', 'motor.fuel = "tea": must be one of "oil", "coal"'),
        ("[motor]\nfuel = 3", 'motor.fuel = 3: must be one of "oil", "coal"'),
        ('[motor]\nfuel = "sun"', 'motor.fuel = "sun": is not supported yet'),
        ('[motor]\nlater = "17:00"', 'motor.later = "17:00": is not supported yet'),
        ("motor = 3", "motor = 3: must be a table"),
        ("[[motor]]\npower = 1", "motor = [{power = 1}]: must be a table"),
        ("[wheel]\nsize = 1", "wheel = {size = 1}: must be an array of tables"),
        ("wheel = [3]", "wheel[0] = 3: must be a table"),
        ("[[wheel]]\nsize = 1\n[[wheel]]", "wheel[1].size is missing"),
        ('[[wheel]]\nsize = "1"', 'wheel[0].size = "1": must be a whole number'),
        ('name = ""', 'name = "": must be a name'),
        ('name = "a\\nb\\u0000"', r'name = "a\\nb\\x00": must be printable text'.replace("\\\\", "\\")),
    ],
)
def test_what_does_not_fit_is_named_with_its_value_and_what_is_allowed(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    assert refusal(path) == f"{path}: {message}"


def test_a_number_with_decimals_may_be_written_without(tmp_path: Path) -> None:
    ratio = load(Car, written(tmp_path, "[motor]\nratio = 1")).motor.ratio
    assert (ratio, type(ratio)) == (1.0, float)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb = \n", 2),
        ("a = 1\n[motor\n", 2),
        ("\n\na = 1 2", 3),
        ('a = """x\ny', 2),
        ("a = 1\na = 2", 2),
        (b"a\n\xff", 2),
    ],
)
def test_what_is_not_toml_is_named_with_file_and_line(tmp_path: Path, text: str | bytes, line: int) -> None:
    path = written(tmp_path, text)
    assert refusal(path).startswith(f"{path}:{line}: ")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent") == f"{tmp_path}/absent: No such file or directory"
    assert refusal(tmp_path) == f"{tmp_path}: Is a directory"
    assert "is longer than" in refusal(Path("/dev/zero"))
    assert "null byte" in refusal(Path("a\0b"))


def test_nesting_without_end_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "a = " + "[" * 100_000)
    assert refusal(path).startswith(f"{path}:1: ")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("motor.power=7", Car(motor=Motor(power=7))),
        ("motor.power = 7", Car(motor=Motor(power=7))),
        ("motor.fuel=coal", Car(motor=Motor(fuel="coal"))),
        ('motor.fuel="coal"', Car(motor=Motor(fuel="coal"))),
        ("motor.loud=true", Car(motor=Motor(loud=True))),
        ("motor={power = 9}", Car(motor=Motor(power=9))),
        ("wheel=[{size = 1}]", Car(wheel=(Wheel(1),))),
        ("name=/run/a=b.sock", Car(name="/run/a=b.sock")),
        ("name='7'", Car(name="7")),
    ],
)
def test_an_override_is_a_toml_value_or_else_a_string(tmp_path: Path, override: str, expected: Car) -> None:
    assert load(Car, None, [override]) == expected
    assert load(Car, written(tmp_path, "[motor]\npower = 5"), [override]) == expected


def test_the_last_override_wins_over_the_others_and_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, 'name = "file"\n[motor]\npower = 2')
    assert load(Car, path, ["motor.power=3", "motor.power=4"]) == Car(name="file", motor=Motor(power=4))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("motor.power=70", "--set: motor.power = 70: must be a whole number from 1 to 10"),
        ("motor.power", '--set "motor.power": must be section.key=value'),
        ("=3", '--set "=3": must be section.key=value'),
        ("motor.=3", '--set "motor.=3": must be section.key=value'),
        ("name.x.y=3", "--set: name = {x = {y = 3}}: must be a string"),
        ("wheel.size=3", "--set: wheel = {size = 3}: must be an array of tables"),
        ("wheel=[{size = true}]", "--set: wheel[0].size = true: must be a whole number"),
        ("name=1\nmotor = 2", r'--set: name = "1\nmotor = 2": must be printable text'),
    ],
)
def test_an_override_is_held_to_the_same_rules(override: str, message: str) -> None:
    assert refusal(None, override) == message


def test_an_override_cannot_go_into_what_is_no_section(tmp_path: Path) -> None:
    path = written(tmp_path, 'name = "x"')
    assert refusal(path, "name.x=3") == '--set "name.x=3": name is not a section'


def test_a_fault_of_the_file_is_not_blamed_on_an_override_beside_it(tmp_path: Path) -> None:
    path = written(tmp_path, "[motor]\npower = 70")
    assert refusal(path, "motor.loud=true").startswith(f"{path}: motor.power = 70: ")


def test_a_long_value_is_cut_in_the_message() -> None:
    assert re.fullmatch(r'--set: motor\.power = "x{79}\.\.\.: must be .*', refusal(None, "motor.power=" + "x" * 10_000))


def test_classes_hold_their_rules_without_any_file() -> None:
    with pytest.raises(FieldError, match="^power = 11: must be a whole number from 1 to 10$"):
        Motor(power=11)


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*"ab", "name", "motor", "wheel", "power", "size", "ratio"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["name", "motor", "wheel", "x"]), DOCUMENTS, max_size=3))
def test_any_document_is_understood_or_refused_with_a_key(document: dict[str, Any]) -> None:
    try:
        car = structure(Car, document)
    except FieldError as error:
        key, message = error.key, str(error)
    else:
        key, message = "name", "name"
        assert isinstance(car, Car)
    assert re.split(r"[.\[]", key)[0] in {"name", "motor", "wheel", "x"}
    assert message.startswith(key)
    assert len(message.splitlines()) == 1


def test_keys_and_values_can_be_listed_as_text() -> None:
    assert flatten(Car(wheel=(Wheel(3),))) == {
        "name": "car",
        "motor.power": "5",
        "motor.fuel": "oil",
        "motor.ratio": "0.5",
        "motor.loud": "false",
        "motor.later": "",
        "wheel": '[{size = 3, name = "round"}]',
    }


def test_a_reload_knows_which_keys_changed_and_which_may() -> None:
    old = Car()
    new = Car(name="other", motor=Motor(power=7), wheel=(Wheel(1),))
    assert changed_keys(old, old) == []
    assert changed_keys(old, new) == ["name", "motor.power", "wheel"]
    assert [is_reloadable(Car, key) for key in changed_keys(old, new)] == [False, True, False]
    for key in ("motor.x", "x", "x.y", "name.y"):
        with pytest.raises(KeyError):
            is_reloadable(Car, key)
