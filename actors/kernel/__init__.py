"""What every actor here is built on: Pykka actors with mailboxes that outlive them, replies, and the
supervisor.
"""
