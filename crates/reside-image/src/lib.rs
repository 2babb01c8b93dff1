//! reside-image
