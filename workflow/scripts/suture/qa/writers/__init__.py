"""Language models behind one small protocol: requests in, replies out, in any order."""
