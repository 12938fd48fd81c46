"""mmagic's GANs that negatives do not fit, registered so that asking for them is answered with the reason."""

from __future__ import annotations

from typing import Any

from nda_mm.registry import MODELS

__all__ = ["REFUSED"]

#: For each host the reason, after "can't be given negatives: ".
REFUSED: dict[str, str] = {
    "CycleGAN": "its two discriminators are trained on pools of earlier images, within one step of both generators "
    "that can't be taken apart. For images in pairs there is nda_mm.NDAPix2Pix",
    "SinGAN": "it learns the patches of a single image, and a jigsaw of that image is made of the very patches that "
    "its discriminators must accept",
    "PESinGAN": "like SinGAN it learns the patches of a single image, and a jigsaw of that image is made of the very "
    "patches that its discriminators must accept",
    "EG3D": "mmagic 1.2 has no training of it",
}


def _refuse(host: str) -> type:
    class Refused:
        refused_because = REFUSED[host]  # by which a list of the models that work leaves it out

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise TypeError(f"mmagic's {host} can't be given negatives: {REFUSED[host]}.")

    Refused.__name__ = Refused.__qualname__ = f"NDA{host}"
    return Refused


for _host in REFUSED:
    MODELS.register_module(name=f"NDA{_host}", module=_refuse(_host))
