// SPDX-License-Identifier: Apache-2.0
// A trait's method, a generic function and a closure, by their demangled names.
use std::hint::black_box;
use std::io::Write;

trait Work {
    fn work(&self, rounds: u64) -> u64;
}

struct Spinner<T>(T);

impl Work for Spinner<u32> {
    #[inline(never)]
    fn work(&self, rounds: u64) -> u64 {
        let result = leaf_rust(rounds + self.0 as u64);
        black_box(result)
    }
}

#[inline(never)]
fn leaf_rust(rounds: u64) -> u64 {
    let mut sum = 0;
    for i in 0..rounds {
        sum = black_box(sum + i);
    }
    sum
}

#[inline(never)]
fn apply<F: Fn(u64) -> u64>(function: F) -> u64 {
    black_box(function(1_000_000))
}

fn main() {
    println!("ready");
    std::io::stdout().flush().unwrap();
    let work: Box<dyn Work> = Box::new(Spinner(1u32));
    loop {
        black_box(apply(|rounds| black_box(work.work(rounds))));
    }
}
