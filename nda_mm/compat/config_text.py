"""Writing a config: Ctrl-C stays Ctrl-C, and the file is whole or the old one."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

from nda_mm.utils.files import write_text_atomically

from .mend import Mend


class ConfigText(Mend):
    """Let an interrupt through while mmengine formats a config, and write the file only once it is formatted.

    ``Config.pretty_text`` turns whatever happens during formatting, KeyboardInterrupt and SystemExit included, into a
    SyntaxError. It is read for every checkpoint and takes most of a small one's time. ``Config.dump`` opens its file
    before it formats, so that an interrupt leaves an empty config.
    """

    name = "config-text"
    host = "mmengine"
    reason = "SyntaxError: Failed to format the config file (after Ctrl-C)"
    versions = "mmengine <= 0.10.7"

    def needed(self) -> bool:
        from mmengine.config import Config

        try:
            with patch("mmengine.config.config.FormatCode", side_effect=KeyboardInterrupt):
                return not Config(dict(a=1)).pretty_text
        except SyntaxError:
            return True
        except KeyboardInterrupt:
            return False

    def apply(self) -> None:
        from mmengine.config import Config

        pretty_text, dump = Config.pretty_text.fget, Config.dump

        def text(self: Config) -> str:
            try:
                return pretty_text(self)
            except SyntaxError as error:
                cause = error.__context__
                if cause is None or isinstance(cause, Exception):
                    raise
            raise cause

        def dump_whole(self: Config, file: str | Path | None = None) -> Any:
            if file is None or not str(file).endswith(".py"):
                return dump(self, file)
            write_text_atomically(Path(file), self.pretty_text)
            return None

        Config.pretty_text = property(text, doc=Config.pretty_text.__doc__)
        Config.dump = dump_whole
