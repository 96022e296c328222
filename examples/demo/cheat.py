"""How the demo's dishonest operator cheats. This lives here and nowhere in the product."""

from __future__ import annotations

from dataclasses import dataclass, replace

from openledger.openlora import AdapterRef, Generation, GenerationRequest, Generator


@dataclass(frozen=True)
class SwappedAdapter:
    """A generator that serves ``served`` wherever ``declared`` was asked for, and reports ``declared``."""

    honest: Generator
    declared: AdapterRef
    served: AdapterRef

    def generate(self, request: GenerationRequest) -> Generation:
        if request.adapter != self.declared:
            return self.honest.generate(request)
        made = self.honest.generate(replace(request, adapter=self.served))
        return replace(made, adapter=self.declared)
