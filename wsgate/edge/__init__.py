"""The only code that speaks picows: frames in, frames out."""
