"""Short lists of function words, one for each language with a stemmer.

English has the 33 words of Lucene's classic list, so that figures can be compared with Lucene's.
The others were drawn up for this file: articles, pronouns, prepositions, conjunctions and forms of
"to be" that say nothing about what a text is about. Short on purpose: a ranking by idf already
discounts frequent words, and a word that is missing from the index can never be found.
"""

from __future__ import annotations

from functools import cache

from bigrain.text.normalise import fold

__all__ = ["stop_words"]


@cache
def stop_words(code: str) -> frozenset[str]:
    """The folded function words of a language by ISO code; empty where there is no list."""
    code = {"porter": "en", "dutch_porter": "nl"}.get(code, code)
    return frozenset(fold(_LISTS.get(code, "")).split())


_LISTS = {
    "en": """a an and are as at be but by for if in into is it no not of on or such that the their
        then there these they this to was will with""",
    "ar": """من في على إلى الى عن مع هذا هذه ذلك تلك التي الذي الذين هو هي هم كان كانت يكون قد لم لن
        لا ما أن ان إن أو او و ثم بعد قبل عند كل بين حتى إذا كما لكن أي أيضا منذ غير به له لها فيه
        فيها منه منها عليه عليها""",
    "hy": """է են եմ ես եք ենք էր էին և ու կամ բայց որ որը որի որոնք այդ այս այն իր իրենց նա նրա
        նրանք մենք դու ի մեջ մի համար հետ վրա ից ըստ նաև էլ թե եթե ոչ պետք""",
    "eu": """eta edo ez da dira zen ziren du dute zuen zuten bat hau hori hura hauek horiek haiek
        baina ere bere beren dela den dira izan izango gabe arte baino bezala ni zu gu nik zuk zer
        nor non ondoren arabera egin""",
    "ca": """el la els les un una uns unes de del dels a al als en amb per i o que què no es se hi
        ho li ha han com més però si són és era ser aquest aquesta aquests aquestes entre fins sense
        sobre seu seva seus seves jo tu ell ella""",
    "cs": """a i o u v ve na ne do z ze s se si je jsou jsem byl byla bylo byli být to ta ten ty že
        za k ke po pro při od ale nebo ani jako jak který která které kteří by aby co tak už jen
        jeho její jejich""",
    "da": """og i at det en et den til er som på de med han af for ikke der var sig men har om vi
        min
        havde fra du nu over da ud dem os op man hans hvor eller hvad skal når ved jeg hun kan
        vil blev være end dette disse""",
    "nl": """de het een en van in is dat die te op met voor niet zijn was er aan ook als bij of maar
        om dan door over ze zij hij wij je ik u hun haar deze dit tot uit nog naar heeft hebben had
        werd worden wordt kan zou""",
    "eo": """la kaj de en al ne estas estis esti ke kiu kiuj kio kiel por kun sed aŭ ĝi li ŝi ili mi
        ni vi oni ĉi tiu tiuj tio ĉe el pri per sur da do plu ankaŭ se""",
    "et": """ja on ei ei et see oli ma ta sa me te nad kui mis kes ka aga või siis oma selle seda
        nende tema olid olema olnud pole mida kuid ning juba nii veel üle alla""",
    "fi": """ja on ei että se oli ovat olla hän he minä sinä me te ne tämä tuo nämä joka jotka mitä
        mikä kun kuin niin myös mutta tai sekä jos vain sen hänen heidän oli olivat ollut eivät
        jonka jossa tässä""",
    "fr": """le la les un une des de du au aux et ou où à en dans par pour sur avec sans sous ce cet
        cette ces il elle ils elles on nous vous je tu que qui quoi dont ne pas plus se son sa ses
        leur leurs est sont était été être ont a mais si comme""",
    "de": """der die das den dem des ein eine einer eines einem einen und oder aber in im an am auf
        aus bei mit nach von vom vor zu zum zur für über um durch ist sind war waren wird werden
        wurde wurden sein hat haben sich nicht auch als wie dass es er sie wir ich""",
    "el": """ο η το οι τα του της των τον την τους τις και να με σε από για που είναι ήταν στο στη
        στην στον στους στις στα ως δεν μια ένα ένας μία θα κατά μετά αλλά ή αυτό αυτή αυτός όπως
        ότι πως""",
    "hi": """का की के में है हैं को से पर ने और यह वह ये वे एक इस उस इन उन था थी थे हो होता होती
        होते कर करना किया जो कि तो भी ही नहीं या लिए साथ तक अपने अपनी अपना गया गई द्वारा""",
    "hu": """a az és egy hogy nem is ez de meg ha csak már vagy mint el még van volt ezt azt aki ami
        amely volna ki be lesz lehet én te ő mi ti ők ennek annak azonban szerint között után alatt
        ezek azok""",
    "id": """yang dan di ke dari untuk dengan pada adalah ini itu dalam tidak akan oleh juga atau
        sebagai karena telah ada dapat bahwa mereka ia dia kami kita saya anda para secara serta
        tersebut namun seperti bagi""",
    "ga": """an na agus is ar i a le ag do go de ón ó as chun faoi mar ach nach ní níl bhí tá sé sí
        siad sin seo é í iad mé tú againn acu aige aici don den sa san""",
    "it": """il lo la i gli le un uno una di a da in con su per tra fra del dello della dei degli
        delle al allo alla ai agli alle dal dalla dai dalle nel nella nei nelle sul sulla sui sulle
        e o ma che chi non si è sono era erano essere ha hanno come anche""",
    "lt": """ir į iš su kad yra ne o ar bet tai kaip jis ji jie jos mes jūs aš tu buvo būti bus per
        po prie už apie nuo iki dėl tik taip dar jau kuris kuri kurie kurios šis ši šie jo jų
        savo""",
    "ne": """को का की मा छ छन् र यो त्यो ले लाई बाट हो हुन् थियो थिए पनि एक गर्ने गरेको भएको हुने
        सँग तथा तर कि जो भने यस त्यस उनी उनले यी ती गरी""",
    "no": """og i jeg det at en et den til er som på de med han av ikke der så var meg seg men har
        om vi min mitt ha hadde hun nå over da ved fra du ut dem oss opp man kan hans hvor eller
        hva skal blir ble være for""",
    "fa": """و در به از که این آن را با برای است بود شد شده می های هم یا یک تا بر اما او ما آنها
        من شما خود نیز هر چه اگر باید نیست بودند کرد کرده دارد همین ها""",
    "pl": """i w z na do się nie że jest to o jak ale po co tak za od przez przy dla czy ten ta te
        tego tej tym są był była było były być lub oraz który która które których ich jego jej on
        ona oni my pod a u""",
    "pt": """o a os as um uma uns umas de do da dos das em no na nos nas por pelo pela para com e ou
        mas que se não é são foi era ser ao aos à às como mais seu sua seus suas este esta esse
        essa ele ela eles elas""",
    "ro": """și de la în a al ale cu pe pentru un o unei unui din nu este sunt era erau fi fost că
        ca
        care ce se sau dar mai prin după el ea ei ele lui lor acest această aceste acești sa său
        cum între""",
    "ru": """и в во не что он на я с со как а то все она так его но да ты к у же вы за бы по только
        ее мне было от меня о из ему для при был была были быть это этот эта эти или их ли если мы
        они""",
    "sr": """i u je na da se su za sa od ne o a ali ili kao koji koja koje što to ovaj ova ovo taj
        ta bio bila bilo biti iz do po pri он она у је на да се су за са од не о а али или као
        који која које што то бити из до по и""",
    "st": """le la ya ba tsa wa ka ho e o a ke ha na mo tse se re di hore sa bo empa kapa hape haeba
        jwalo ena yona bona rona lona ntle""",
    "es": """el la los las un una unos unas de del a al en con por para y o u e que se no es son era
        fue ser su sus lo le les como más pero si este esta estos estas ese esa entre sin sobre
        ya me mi te yo él ella ellos ha han""",
    "sv": """och i att det som en ett den på är av för med till de inte om han hon var sig från så
        men har vi jag du nu över vid kan man hade ut eller när vad ska efter där då sin sina under
        också blev vara""",
    "ta": """ஒரு மற்றும் இந்த அந்த என்று என இது அது என்ற ஆகும் இல்லை உள்ள அவர் அவன் அவள் அவர்கள்
        நான் நாம் நீ உம் ஆனால் அல்லது தான் போன்ற மிக பல இருந்து கொண்டு வரை என்பது""",
    "tr": """ve bir bu da de ile için o ne mi mı mu mü ki çok ama gibi daha en kadar olan olarak
        oldu
        ise ya veya şu ben sen biz siz onlar her hem değil sonra göre idi""",
    "yi": """די דער דאָס און אין איז פֿון צו אַ אַן מיט אויף ניט נישט עס ער זי מיר איר זיי איך דו
        אַז וואָס פֿאַר ביי ווי אָבער אָדער האָט זיינען געווען דעם זיך אויך""",
}
