"""What translation models call a language: from a BCP 47 tag to FLORES-200 codes and to the spellings of other models.

FLORES-200's codes, an ISO 639-3 language and an ISO 15924 script:
https://github.com/facebookresearch/flores/blob/main/flores200/README.md#languages-in-flores-200
"""

from __future__ import annotations

from pinchtune import languages

# A tag without script is the language in its usual script; where FLORES has several variants of one language it is the
# standard one (Modern Standard Arabic, Western Persian, North Azerbaijani, Plateau Malagasy, Bokmål ...).
_TABLE = """
af:afr_Latn ak:aka_Latn am:amh_Ethi ar:arb_Arab as:asm_Beng ast:ast_Latn ay:ayr_Latn az:azj_Latn ba:bak_Cyrl
be:bel_Cyrl bg:bul_Cyrl bm:bam_Latn bn:ben_Beng bo:bod_Tibt bs:bos_Latn ca:cat_Latn ceb:ceb_Latn ckb:ckb_Arab
cs:ces_Latn cy:cym_Latn da:dan_Latn de:deu_Latn dz:dzo_Tibt ee:ewe_Latn el:ell_Grek en:eng_Latn eo:epo_Latn
es:spa_Latn et:est_Latn eu:eus_Latn fa:pes_Arab fa-AF:prs_Arab fi:fin_Latn fil:tgl_Latn fj:fij_Latn fo:fao_Latn
fr:fra_Latn ga:gle_Latn gd:gla_Latn gl:glg_Latn gn:grn_Latn gu:guj_Gujr ha:hau_Latn he:heb_Hebr hi:hin_Deva
hr:hrv_Latn ht:hat_Latn hu:hun_Latn hy:hye_Armn id:ind_Latn ig:ibo_Latn ilo:ilo_Latn is:isl_Latn it:ita_Latn
ja:jpn_Jpan jv:jav_Latn ka:kat_Geor kg:kon_Latn ki:kik_Latn kk:kaz_Cyrl km:khm_Khmr kn:kan_Knda ko:kor_Hang
ks:kas_Arab ks-Deva:kas_Deva ku:kmr_Latn ky:kir_Cyrl lb:ltz_Latn lg:lug_Latn li:lim_Latn ln:lin_Latn lo:lao_Laoo
lt:lit_Latn lv:lvs_Latn mg:plt_Latn mi:mri_Latn mk:mkd_Cyrl ml:mal_Mlym mn:khk_Cyrl mr:mar_Deva ms:zsm_Latn
mt:mlt_Latn my:mya_Mymr nb:nob_Latn ne:npi_Deva nl:nld_Latn nn:nno_Latn no:nob_Latn ny:nya_Latn oc:oci_Latn
om:gaz_Latn or:ory_Orya pa:pan_Guru pl:pol_Latn ps:pbt_Arab pt:por_Latn qu:quy_Latn rn:run_Latn ro:ron_Latn
ru:rus_Cyrl rw:kin_Latn sa:san_Deva sc:srd_Latn sd:snd_Arab sg:sag_Latn si:sin_Sinh sk:slk_Latn sl:slv_Latn
sm:smo_Latn sn:sna_Latn so:som_Latn sq:als_Latn sr:srp_Cyrl ss:ssw_Latn st:sot_Latn su:sun_Latn sv:swe_Latn
sw:swh_Latn ta:tam_Taml te:tel_Telu tg:tgk_Cyrl th:tha_Thai ti:tir_Ethi tk:tuk_Latn tn:tsn_Latn tr:tur_Latn
ts:tso_Latn tt:tat_Cyrl tw:twi_Latn ug:uig_Arab uk:ukr_Cyrl ur:urd_Arab uz:uzn_Latn vi:vie_Latn war:war_Latn
wo:wol_Latn xh:xho_Latn yi:ydd_Hebr yo:yor_Latn yue:yue_Hant zh:zho_Hans zh-Hant:zho_Hant zu:zul_Latn
"""
#: Tag -> FLORES-200 code.
FLORES: dict[str, str] = {tag: code for tag, _, code in (entry.partition(":") for entry in _TABLE.split())}
#: What else models call a language: old codes, members of a macrolanguage, a written standard for its language.
_OTHER_NAMES = {
    "fil": ("tl", "tgl"),
    "he": ("iw",),
    "id": ("in",),
    "ja": ("jap",),
    "jv": ("jw",),
    "nb": ("no", "nor"),
    "no": ("nb",),
    "yi": ("ji",),
    "zh": ("cmn",),
}
_REGIONAL_NAMES = {"pt-BR": ("pob",)}


def flores(tag: str) -> str:
    """Return the FLORES-200 code of a tag, made up of its parts where the table has none ("szl" is szl_Latn).

    A region is passed over (es-MX is spa_Latn) unless the table knows it; a script never is: zh-Hant is not zho_Hans.

    >>> [flores(tag) for tag in ("fi", "sw", "sr", "sr-Latn", "zh-TW", "es-MX")]
    ['fin_Latn', 'swh_Latn', 'srp_Cyrl', 'srp_Latn', 'zho_Hant', 'spa_Latn']

    Raises:
        LanguageError: not a tag.
    """
    language = languages.parse(tag)
    usual = language.script == languages.parse(language.base).script
    keys = (language.tag, language.base if usual else f"{language.base}-{language.script}")
    found = next((FLORES[key] for key in keys if key in FLORES), None)
    return found or f"{_three_letters(language.base)}_{language.script}"


def spellings(tag: str) -> list[str]:
    """Return what a model may call a language in its tokens, the most particular first.

    >>> spellings("pt-BR")
    ['pob', 'por_BR', 'pt_BR', 'por_Latn', 'pt_Latn', 'por', 'pt']

    Raises:
        LanguageError: not a tag.
    """
    language = languages.parse(tag)
    code = flores(tag).split("_")[0]
    stems = list(dict.fromkeys([_three_letters(language.base), code, language.base]))
    stems += [name for name in _OTHER_NAMES.get(language.base, ()) if name not in stems]
    regions = [part for part in language.tag.split("-")[1:] if len(part) == 2]
    found = list(_REGIONAL_NAMES.get(language.tag, ()))
    found += [f"{stem}_{part}" for part in (*regions, language.script) for stem in stems]
    if language.script == languages.parse(language.base).script:
        found += stems
    return found


def _three_letters(base: str) -> str:
    import langcodes

    return str(langcodes.Language.get(base).to_alpha3())
