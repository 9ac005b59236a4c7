//! Traces of (time, key, size): read from CSV, or made from a seed.

use std::io::BufRead;

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    /// Seconds.
    pub(crate) time: f64,
    /// A URL, or whatever names the object.
    pub(crate) key: String,
    /// Bytes of the body.
    pub(crate) size: u64,
}

/// Reads `time,key,size` lines; a first line without numbers is a heading. A key may hold commas.
///
/// # Errors
/// Says which line is wrong and why.
pub(crate) fn read(input: impl BufRead) -> Result<Vec<Request>, String> {
    let mut trace = Vec::new();
    for (number, line) in input.lines().enumerate() {
        let wrong = |what: &str| format!("line {}: {what}; a line is time,key,size", number + 1);
        let line = line.map_err(|error| wrong(&error.to_string()))?;
        if line.trim().is_empty() {
            continue;
        }
        let (time, rest) = line.split_once(',').ok_or_else(|| wrong("no comma"))?;
        let (key, size) = rest.rsplit_once(',').ok_or_else(|| wrong("one comma only"))?;
        match (time.trim().parse(), size.trim().parse()) {
            (Ok(time), Ok(size)) => trace.push(Request { time, key: key.trim().to_owned(), size }),
            (Err(_), Err(_)) if number == 0 => {}
            (Err(_), _) => return Err(wrong(&format!("{:?} is no time in seconds", time.trim()))),
            (_, Err(_)) => return Err(wrong(&format!("{:?} is no size in bytes", size.trim()))),
        }
    }
    Ok(trace)
}

/// What a made trace is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Exponent of the popularity of the objects.
    pub(crate) zipf: f64,
    /// Objects that are asked for again and again.
    pub(crate) objects: u64,
    /// Requests in all.
    pub(crate) requests: u64,
    /// Percent of the requests for objects that are asked for once.
    pub(crate) once: u64,
    /// Percent of the requests that belong to scans: runs over a catalogue twice as large as `objects`.
    pub(crate) scan: u64,
    /// Largest object, bytes.
    pub(crate) size_max: u64,
    /// The same seed gives the same trace.
    pub(crate) seed: u64,
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to and without 1.
    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Log-normal, median 13 KB, mean about 30 KB: what web objects are like. The same for the same object.
fn size(of: &str, max: u64) -> u64 {
    let seed = of.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut random = Random(seed);
    let (radius, angle) =
        ((-2.0 * random.part().max(1e-12).ln()).sqrt(), std::f64::consts::TAU * random.part());
    let size = (9.5 + 1.3 * radius * angle.cos()).exp();
    (size as u64).clamp(300, max.max(300))
}

/// Makes a trace: Zipf, with requests for single objects and runs over a catalogue between.
pub(crate) fn make(shape: Shape) -> Vec<Request> {
    let mut random = Random(shape.seed);
    let mut sum = 0.0;
    let heights: Vec<f64> = (1..=shape.objects)
        .map(|rank| {
            sum += (rank as f64).powf(-shape.zipf);
            sum
        })
        .collect();
    let run = shape.objects / 10 + 1;
    let catalogue = shape.objects * 2;
    // A scan runs at the pace of all others together; so many of their requests begin one.
    let (once, scan) = (shape.once as f64 / 100.0, shape.scan as f64 / 100.0);
    let begin = scan / (1.0 - scan).max(0.01) / run as f64;
    let (mut single, mut at, mut left) = (0, 0, 0);
    let mut trace = Vec::with_capacity(shape.requests as usize);
    while (trace.len() as u64) < shape.requests {
        let time = trace.len() as f64 / 1000.0;
        let key = if left > 0 && random.next().is_multiple_of(2) {
            (left, at) = (left - 1, (at + 1) % catalogue);
            format!("http://catalogue.example:80/{at}")
        } else if random.part() < begin {
            left += run;
            continue;
        } else if random.part() < once / (1.0 - scan).max(0.01) {
            single += 1;
            format!("http://once.example:80/{single}")
        } else {
            let height = random.part() * sum;
            format!("http://www.example:80/{}", heights.partition_point(|below| *below < height))
        };
        let size = size(&key, shape.size_max);
        trace.push(Request { time, key, size });
    }
    trace
}
