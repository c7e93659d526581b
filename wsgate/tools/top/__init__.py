"""`wsgate top`: what a running gateway does just now, from its admin port."""
