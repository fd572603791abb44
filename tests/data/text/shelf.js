// A pantry as a program. The last function is broken on purpose: a file that doesn't parse is split all the same.
export class Shelf {
  constructor(number) {
    this.number = number;
    this.jars = [];
  }

  /** Puts a jar where it belongs: what is open in front, then by date. */
  put(jar) {
    if (this.jars.some((j) => j.name === jar.name)) {
      throw new Error(`${jar.name} is on shelf ${this.number} twice`);
    }
    this.jars.push(jar);
    this.jars.sort((a, b) => Number(b.open) - Number(a.open) || a.due - b.due);
  }

  due(today) {
    return this.jars.filter((j) => j.open || j.due <= today).map((j) => j.name);
  }
}

export const weeklyRound = (shelves, today) =>
  Object.fromEntries(
    shelves.map((s) => [s.number, s.due(today)]).filter(([, names]) => names.length > 0),
  );

function broken(shelf {
  if (shelf.jars.length > 3 {
    return shelf.jars[;
  }
}

const first = new Shelf(1);
first.put({ name: "rice", due: 400, open: false });
console.log(weeklyRound([first], 20));
