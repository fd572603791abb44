"""A pantry as a program: shelves, jars, and what is due."""
from dataclasses import dataclass, field
from datetime import date


@dataclass
class Jar:
    name: str
    due: date
    open: bool = False

    def is_due(self, today: date) -> bool:
        # what is open goes first, whatever its date
        return self.open or self.due <= today


@dataclass
class Shelf:
    number: int
    jars: list[Jar] = field(default_factory=list)

    def put(self, jar: Jar) -> None:
        if any(j.name == jar.name for j in self.jars):
            raise ValueError(f"{jar.name} is on shelf {self.number} twice")
        self.jars.append(jar)
        self.jars.sort(key=lambda j: (not j.open, j.due))

    def due(self, today: date) -> list[str]:
        return [j.name for j in self.jars if j.is_due(today)]


def weekly_round(shelves: list[Shelf], today: date) -> dict[int, list[str]]:
    """Says for each shelf what must be used now; shelves with nothing due are left out."""
    found = {}
    for shelf in shelves:
        names = shelf.due(today)
        if names:
            found[shelf.number] = names
    return found


if __name__ == "__main__":
    first = Shelf(1)
    first.put(Jar("rice", date(2031, 5, 1)))
    first.put(Jar("lentils", date(2030, 4, 1), open=True))
    print(weekly_round([first, Shelf(2)], date(2030, 6, 1)))
