"""modelfactory"""
