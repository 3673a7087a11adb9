"""Learning both grains from a corpus, from queries or from judgments.

Algorithms here are functions of arrays: no collection, no files. torch is imported inside them
(extra `learn`), and what they return is understood without it.

    light              `learn_codec`: the codes in memory, learned for the queries that are asked
    supervision        what is learned from: queries, judged pairs, or the corpus alone
    training           its steps
    student            a codec whose projections and codebooks are parameters of torch
    targets            what scores should look like: the teacher's, the judged ones, or both
    mining             the best rows of queries, by exact scores and by codes
    compatible         queries of a new encoder in the space of an old one
    adapter            `train_adapter`: a map of queries, trained on what the codes return
    sampling           its negatives: walks over questions and their candidates
    fusion             weights of families, from judged questions
    static_encoder     `learn_static`: the table of the bundled encoder, learned on texts or pairs;
                       `static_training` is its steps

`Collection.learn` is `of_collection`: `asking` and `questions` are what is learned from, `rows`
reads vectors, `task` learns each part (`encoding` an encoder) and judges it on questions held out
(`measuring`), `report` and `plot` tell, `checkpoint` keeps what was trained for the case that the
call is stopped.
"""
