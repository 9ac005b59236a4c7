//! What it costs to lead a flight and to sit in one.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use larder::clock::Timestamp;
use larder::coalesce::{Flights, Seat};

fn flights(c: &mut Criterion) {
    let now = Timestamp(1_795_420_800_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let empty = Arc::new(Flights::<u64>::default());
    let mut key = 0_u128;
    c.bench_function("collapse/lead and land", |b| {
        b.iter(|| {
            key = key.wrapping_add(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            let Seat::Pilot(pilot) = empty.board(black_box(key), 0, now) else { panic!("nobody else flies") };
            pilot.land(1);
        });
    });
    let busy = Arc::new(Flights::<u64>::default());
    c.bench_function("collapse/500 in one flight", |b| {
        b.iter(|| {
            let Seat::Pilot(pilot) = busy.board(7, 0, now) else { panic!("nobody else flies") };
            let seats: Vec<_> = (0..499).map(|_| busy.board(7, 0, now)).collect();
            pilot.land(1);
            runtime.block_on(async {
                for seat in seats {
                    let Seat::Passenger(flight) = seat else { panic!("a seat") };
                    black_box(flight.outcome().await.expect("landed"));
                }
            });
        });
    });
}

criterion_group!(benches, flights);
criterion_main!(benches);
