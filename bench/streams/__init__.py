"""Unimodal encoders as stages, and the lockstep that advances them together."""
