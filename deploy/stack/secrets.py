"""The stores' credentials: from files (SECRETS_DIR), from settings, or the demo's, which are checked in.

Containers get them as files; `make env` prints them, so they are read here as well.
"""

import configparser
from pathlib import Path

DEMO = Path("deploy/compose/secrets")
SETTINGS = ("POSTGRES_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY", "GRAFANA_PASSWORD")


def read(directory: Path) -> dict[str, str]:
    """The settings that the files of `directory` stand for. Raises OSError or ValueError where they cannot be read."""
    keys = configparser.ConfigParser(interpolation=None)
    try:
        with (directory / "s3_credentials").open() as file:
            keys.read_file(file)
        s3 = keys["default"]
        access, secret = s3["aws_access_key_id"], s3["aws_secret_access_key"]
    except (configparser.Error, KeyError) as error:
        raise ValueError(f"{directory / 's3_credentials'}: {error}") from None
    return {
        "POSTGRES_PASSWORD": (directory / "postgres_password").read_text().rstrip("\r\n"),
        "GRAFANA_PASSWORD": (directory / "grafana_password").read_text().rstrip("\r\n"),
        "S3_ACCESS_KEY": access,
        "S3_SECRET_KEY": secret,
    }


def write(directory: Path, values: dict[str, str]) -> None:
    """The files that stand for `values`. The directory lets nobody else in; the containers' users read the files."""
    directory.mkdir(parents=True, exist_ok=True)
    files = {
        "postgres_password": f"{values['POSTGRES_PASSWORD']}\n",
        "grafana_password": f"{values['GRAFANA_PASSWORD']}\n",
        "s3_credentials": f"[default]\naws_access_key_id = {values['S3_ACCESS_KEY']}\naws_secret_access_key = {values['S3_SECRET_KEY']}\n",
    }
    for name, text in files.items():
        (directory / name).write_text(text)
        (directory / name).chmod(0o644)
    directory.chmod(0o700)
