//! The probe against stores that keep the condition and stores that do not.

use super::*;
use crate::store::memory::{Faults, Memory};

#[tokio::test]
async fn a_store_that_honours_the_condition_is_accepted_and_left_clean() {
    let store = Arc::new(Memory::new(1, Faults::default()));
    run(&store, "topics", |_| ()).await.expect("accepted");
    assert!(store.contents().is_empty());
}

#[tokio::test]
async fn a_store_that_ignores_the_condition_is_refused() {
    let mut store = Memory::new(1, Faults::default());
    store.ignores_condition = true;
    let error = run(&Arc::new(store), "topics", |_| ())
        .await
        .expect_err("refused");
    assert!(
        matches!(
            error,
            Error::Ignored {
                winners: 9,
                writers: 9
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn lost_answers_are_asked_for_again() {
    let faults = Faults {
        request_lost: 0.1,
        answer_lost: 0.1,
        delayed: 0.0,
    };
    for seed in 0..2 {
        run(&Arc::new(Memory::new(seed, faults)), "topics", |_| ())
            .await
            .expect("accepted in the end");
    }
}
