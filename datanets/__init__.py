"""datanets"""
