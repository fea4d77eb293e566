//! Labels by which what belongs to a cluster is found again among Kubernetes objects.

/// Kubernetes' recommended label for the program that manages an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Kubernetes' recommended label for the application.
pub const NAME: &str = "app.kubernetes.io/name";
/// Kubernetes' recommended label for one instance of it: the cluster.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// The cluster's name.
pub const CLUSTER: &str = "crewcall.dev/cluster";
/// The cluster's uid, unique for ever.
pub const CLUSTER_UID: &str = "crewcall.dev/cluster-uid";
/// Whose cluster it is: an installation's id, or [`OPERATOR`].
pub const INSTALLATION: &str = "crewcall.dev/installation";
/// A node's role.
pub const ROLE: &str = "crewcall.dev/role";
/// A node's group.
pub const GROUP: &str = "crewcall.dev/group";
/// A node's slot.
pub const SLOT: &str = "crewcall.dev/slot";
/// A node's incarnation.
pub const INCARNATION: &str = "crewcall.dev/incarnation";

/// The annotation of a custom resource with the versions of what its maker runs, as JSON.
pub const CLIENT: &str = "crewcall.dev/client";

/// The value of [`MANAGED_BY`] and [`NAME`], and the name under which fields are written.
pub const CREWCALL: &str = "crewcall";
/// The installation of clusters that are custom resources.
pub const OPERATOR: &str = "operator";

/// With [`OPERATOR_COMPONENT`] what the operator's own pods have, whatever the release of its chart is called.
pub const OPERATOR_PART: (&str, &str) = ("app.kubernetes.io/part-of", CREWCALL);
/// See [`OPERATOR_PART`].
pub const OPERATOR_COMPONENT: (&str, &str) = ("app.kubernetes.io/component", OPERATOR);
