//! A pantry as a program.
use std::fmt;

#[derive(Debug, Clone, PartialEq)]
pub struct Jar {
    pub name: String,
    pub due: u32,
    pub open: bool,
}

#[derive(Default)]
pub struct Shelf {
    jars: Vec<Jar>,
}

impl Shelf {
    /// Puts a jar where it belongs: what is open in front, then by date.
    pub fn put(&mut self, jar: Jar) -> Result<(), String> {
        if self.jars.iter().any(|j| j.name == jar.name) {
            return Err(format!("{} is there already", jar.name));
        }
        self.jars.push(jar);
        self.jars.sort_by_key(|j| (!j.open, j.due));
        Ok(())
    }

    pub fn due(&self, today: u32) -> impl Iterator<Item = &Jar> {
        self.jars.iter().filter(move |j| j.open || j.due <= today)
    }
}

impl fmt::Display for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (due on day {})", self.name, self.due)
    }
}

fn main() {
    let mut first = Shelf::default();
    first.put(Jar { name: "rice".into(), due: 400, open: false }).unwrap();
    first.put(Jar { name: "lentils".into(), due: 20, open: true }).unwrap();
    for jar in first.due(30) {
        println!("{jar}");
    }
}
