"""Build of robust-reps-ext: an ordinary package plus the start-up files that arm the hook."""

from setuptools import setup

setup()
