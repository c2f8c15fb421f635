"""The two stages of the graph without ROS: images to tracked people, people to actions.

The nodes run these very objects, and so does `evaluate bag`: what becomes of a message is decided
here, by its stamp and its content alone. How messages come and go is the nodes' business. The
modules import nothing of each other's stage: who names actions needs no pose network in memory.
"""
