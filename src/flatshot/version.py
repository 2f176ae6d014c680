"""The version of Flatshot, where every room can have it."""

VERSION = "0.1.0"
