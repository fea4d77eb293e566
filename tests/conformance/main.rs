//! What every provider promises, written once and held against each of them.
//!
//! A provider joins by an implementation of [`stage::Stage`] and one more use of `promises!`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod ending;
#[cfg(feature = "kubernetes")]
#[path = "../shared/kubectl.rs"]
mod kubectl;
mod making;
mod observing;
mod on_fake;
#[cfg(feature = "kubernetes")]
mod on_kubernetes;
#[cfg(all(feature = "local", target_os = "linux"))]
mod on_local;
mod seeing;
mod stage;
#[cfg(all(feature = "local", target_os = "linux"))]
#[path = "../local/support.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod support;

/// A test for each promise, on the stage of one provider.
macro_rules! promises {
    ($provider:ident, $stage:ty $(, $test_option:tt = $value:tt)*) => {
        mod $provider {
            promises!(@each $stage, ($($test_option = $value),*),
                making::what_was_never_made_is_seen_as_nothing,
                making::an_anchor_is_made_once_however_often_it_is_asked_for,
                making::a_node_needs_an_anchor,
                making::a_node_is_started_once_however_often_it_is_asked_for,
                making::a_call_that_breaks_off_may_be_made_again,
                making::a_lost_reply_and_the_same_call_again_make_no_double,
                seeing::what_was_asked_for_is_seen_by_whoever_looks,
                seeing::a_node_that_dies_is_seen_to_have_ended_and_the_others_live,
                seeing::a_change_is_hinted_at,
                seeing::the_log_of_a_node_outlives_it,
                ending::a_removed_node_is_gone_and_its_name_used_up,
                ending::what_is_removed_twice_or_was_never_there_is_no_failure,
                ending::a_removed_cluster_takes_its_nodes_along_and_leaves_nothing,
                ending::other_clusters_and_installations_are_left_alone,
                ending::what_nobody_remembers_is_listed_and_can_be_swept,
            );
        }
    };
    (@each $stage:ty, $options:tt, $($part:ident::$promise:ident),* $(,)?) => {
        $(promises!(@one $stage, $options, $part::$promise);)*
    };
    (@one $stage:ty, ($($test_option:tt = $value:tt),*), $part:ident::$promise:ident) => {
        #[tokio::test($($test_option = $value),*)]
        async fn $promise() {
            let Some(stage) = <$stage as crate::stage::Stage>::set() else { return };
            crate::$part::$promise(&stage).await;
            crate::stage::strike(&stage).await;
        }
    };
}

promises!(fake, crate::on_fake::FakeStage, start_paused = true);
#[cfg(feature = "kubernetes")]
promises!(kubernetes, crate::on_kubernetes::KubernetesStage);
#[cfg(all(feature = "local", target_os = "linux"))]
promises!(local, crate::on_local::LocalStage);
