"""openlora"""
