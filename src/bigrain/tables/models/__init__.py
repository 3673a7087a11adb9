"""Small models over one table, to train tables with and to compare them.

    bag         the mean of the rows of a set of ids, then a network: classes of sets
    dlrm        products of the rows of all pairs of fields, then a network (Naumov et al., 2019)
    wide_deep   a linear part beside a network (Cheng et al., DLRS 2016)
    cross       cross layers beside a network, DCN-v2 (Wang et al., WWW 2021)
    deepfm      a factorisation machine beside a network (Guo et al., IJCAI 2017)

The four of clicks take ids (batch, fields) and return logits (batch,); `bag` takes a flat array of
ids with offsets and returns logits (batch, classes). Whatever they know of an id comes from its
row: linear parts weigh the row with a vector of the field, so that nothing of the size of the
vocabulary stands beside the table.
"""
