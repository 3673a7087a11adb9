"""All methods compared: same data, model, budgets, seeds and stopping.

data      generated clicks, arxiv-authors, movielens-small
job       one method at one rate and seed, trained in a process of its own
worker    the process that those are forked from
training  what they do
grid      many of them, one JSON record a file; what is there is not done again
report    means and intervals, who wins at each budget, recommendations, a picture
"""
