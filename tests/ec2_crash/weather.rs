//! Stories in which AWS is not itself.
