"""staking"""
